"use strict";
const form = document.getElementById("login");
const error = document.getElementById("error");
form.addEventListener("submit", async function (event) {
    event.preventDefault();
    error.hidden = true;
    const request = {};
    for (const [name, value] of new URLSearchParams(window.location.search)) {
        if (name === "device_id" || name === "initial_device_display_name") {
            request[name] = value;
        } else if (name === "refresh_token") {
            request[name] = value === "true";
        }
    }
    request.type = "m.login.password";
    request.identifier = { type: "m.id.user", user: form.elements.user.value };
    request.password = form.elements.password.value;
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
    form.hidden = true;
    document.getElementById("done").hidden = false;
    if (window.matrixLogin && window.matrixLogin.onLogin) {
        window.matrixLogin.onLogin(answer);
    }
});
