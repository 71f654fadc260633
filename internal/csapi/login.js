"use strict";
const form = document.getElementById("login");
const error = document.getElementById("error");
const query = new URLSearchParams(window.location.search);

async function logIn(request) {
    error.hidden = true;
    for (const [name, value] of query) {
        if (name === "device_id" || name === "initial_device_display_name") {
            request[name] = value;
        } else if (name === "refresh_token") {
            request[name] = value === "true";
        }
    }
    let answer;
    try {
        const response = await fetch("../../../client/v3/login", {
            method: "POST",
            headers: { "Content-Type": "application/json" },
            body: JSON.stringify(request),
        });
        answer = await response.json();
        if (!response.ok) {
            throw new Error(answer.error || answer.errcode);
        }
    } catch (e) {
        error.textContent = e.message;
        error.hidden = false;
        return;
    }
    for (const shown of document.querySelectorAll("form, .button")) {
        shown.hidden = true;
    }
    document.getElementById("done").hidden = false;
    if (window.matrixLogin && window.matrixLogin.onLogin) {
        window.matrixLogin.onLogin(answer);
    }
}

form.addEventListener("submit", function (event) {
    event.preventDefault();
    const name = form.elements.user.value.trim();
    const identifier = name.indexOf("@") > 0
        ? { type: "m.id.thirdparty", medium: "email", address: name }
        : { type: "m.id.user", user: name };
    logIn({ type: "m.login.password", identifier, password: form.elements.password.value });
});

// Identity providers lead back here, with a token to log in with.
const token = query.get("loginToken");
query.delete("loginToken");
const rest = query.toString();
const here = window.location.origin + window.location.pathname + (rest ? "?" + rest : "");
for (const link of document.querySelectorAll("a[data-provider]")) {
    link.href = "../../../client/v3/login/sso/redirect/" + encodeURIComponent(link.dataset.provider) + "?redirectUrl=" + encodeURIComponent(here);
}
if (token !== null) {
    window.history.replaceState(null, "", here);
    logIn({ type: "m.login.token", token });
}
