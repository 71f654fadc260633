// Scenes in a browser: headless Chromium, and a page with the SDK in it that is
// served at an origin of its own, as web clients are.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { chromium as driver } from "playwright-core";
import { Device } from "./device.js";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

// A Browser has to be started with what findChromium returns.
export class Browser {
    async starts({ executablePath, env }) {
        [this.chromium, this.site] = await Promise.all([
            driver.launch({ executablePath, env, args: ["--disable-dev-shm-usage"] }),
            files().then(serves),
        ]);
        this.origin = `http://localhost:${this.site.address().port}`;
    }

    async ends() {
        await this.chromium?.close();
        this.site?.close();
    }

    // opens a tab of somebody who shares no storage with the others.
    async opens(t) {
        const context = await this.chromium.newContext({ ignoreHTTPSErrors: true });
        const page = await context.newPage();
        const tab = new Tab(page);
        t.after(async () => {
            await context.close();
            assert.deepEqual(tab.faults, [], "what the browser complained of");
        });
        await page.goto(this.origin);
        return tab;
    }

    // logsIn is a tab in which the user has logged in. The options are those of a
    // keeper.
    async logsIn(user, name, options = {}) {
        const tab = await this.opens(user.t);
        await tab.logsIn(user, name, options);
        return tab;
    }
}

// A Tab is what a scene sees of a page. Where it is named as the devices of
// scene/keeper.js are, it does the same.
class Tab {
    constructor(page) {
        this.page = page;
        this.faults = []; // of the server, of the page, and what the browser forbade
        this.requests = []; // the URLs
        page.on("request", (request) => this.requests.push(request.url()));
        page.on("response", (r) => r.status() >= 500 && this.faults.push(`${r.request().method()} ${r.url()} was answered with ${r.status()}`));
        page.on("pageerror", (e) => this.faults.push(String(e.stack ?? e)));
        page.on("console", (message) => message.text().includes("CORS") && this.faults.push(message.text()));
    }

    calls(what, ...args) {
        return this.page.evaluate(([what, args]) => globalThis.tab[what](...args), [what, args]);
    }

    does(what, ...args) {
        return this.calls("does", what, args);
    }

    async logsIn(user, name, options) {
        Object.assign(this, { user, name, options });
        this.login = await this.calls("logsIn", known(user), name, options);
    }

    // reloads is what a reload does to a page: it knows its login and what it has
    // stored.
    async reloads() {
        this.requests.length = 0;
        await this.page.reload();
        await this.calls("comesBack", known(this.user), this.name, this.options, this.login);
    }

    // asks makes requests of {url, method, headers, body}, with a body of so many
    // bytes where there is a size.
    asks(...requests) {
        return this.calls("asks", requests);
    }

    async createsSecret(name, ...others) {
        const room = await this.does("createsSecret", name);
        await this.gathers(room, ...others);
        return room;
    }

    invites(room, user) {
        return this.does("invites", room, known(user));
    }

    seesMember(room, user, membership) {
        return this.does("seesMember", room, known(user), membership);
    }
}

Tab.prototype.gathers = Device.prototype.gathers;

for (const what of ["joins", "says", "deciphers", "secures", "saves", "sendsFile", "readsFile", "readsAll", "showsCode", "scansCode", "meets"]) {
    Tab.prototype[what] = function (...args) {
        return this.does(what, ...args);
    };
}

const known = ({ name, id, username, password, url }) => ({ name, id, username, password, url });

// files are those of the site, by path.
async function files() {
    const { outputFiles } = await build({
        entryPoints: [here("../page/tab.js")],
        bundle: true,
        format: "esm",
        write: false,
        alias: { "node:assert/strict": here("../page/assert.js") },
        define: { "process.env": JSON.stringify({ PARLEY_E2E_URL: process.env.PARLEY_E2E_URL }), global: "globalThis" },
        logLevel: "error",
    });
    const wasm = "matrix_sdk_crypto_wasm_bg.wasm";
    return {
        "/": ["text/html; charset=utf-8", '<!doctype html><title>tab</title><script type="module" src="/tab.js"></script>'],
        "/tab.js": ["text/javascript", outputFiles[0].contents],
        [`/pkg/${wasm}`]: ["application/wasm", await readFile(here(`../node_modules/@matrix-org/matrix-sdk-crypto-wasm/pkg/${wasm}`))],
        "/favicon.ico": ["image/x-icon", ""],
    };
}

async function serves(site) {
    const server = createServer((request, response) => {
        const [type, content] = site[request.url] ?? [];
        response.writeHead(type ? 200 : 404, { "Content-Type": type ?? "text/plain" }).end(content);
    });
    await new Promise((listens) => server.listen(0, "127.0.0.1", listens));
    return server;
}
