// What runs in the page of a Tab (scene/browser.js): a keeper that stores in the
// browser what it keeps. What a scene tells the tab to do, it does here.

import assert from "node:assert/strict";
import { IndexedDBStore, MsgType } from "matrix-js-sdk";
import { everybodyReads, Keeper } from "../scene/keeper.js";
import { User } from "../scene/user.js";
import { opened, sealed } from "./file.js";
import { scanned, shown } from "./meeting.js";

class PageKeeper extends Keeper {
    // The SDK makes its requests as it does in any page.
    clientOptions() {
        return { ...super.clientOptions(), store: new IndexedDBStore({ indexedDB, dbName: "tab", localStorage }), fetchFn: undefined };
    }

    async wakesUp() {
        await this.client.store.startup();
        await this.client.initRustCrypto();
        await super.wakesUp();
    }

    // saves has what was synced written to IndexedDB, which the SDK puts off by
    // minutes.
    saves() {
        return this.client.store.save(true);
    }

    // showsCode is the content of a QR code by which another page meets this one.
    async showsCode() {
        const { code, channel } = await shown(this.user.url);
        this.channel = channel;
        return [...code];
    }

    scansCode(code) {
        this.channel = scanned(Uint8Array.from(code));
    }

    // meets says something to the other page, or hears it, and returns the digits
    // that people compare.
    async meets(says) {
        await this.channel.connect();
        if (says) await this.channel.secureSend(says);
        const heard = says ?? (await this.channel.secureReceive());
        return { heard, digits: this.channel.getCheckCode() };
    }

    // readsAll is everybodyReads for this device.
    readsAll(room) {
        return everybodyReads(room, this);
    }

    // sendsFile uploads text, encrypted, and says where it is.
    async sendsFile(room, name, text) {
        const { bytes, file } = await sealed(new TextEncoder().encode(text));
        const { content_uri: url } = await this.client.uploadContent(new Blob([bytes]), { type: "application/octet-stream", includeFilename: false });
        return this.sends(room, { msgtype: MsgType.File, body: name, file: { ...file, url } });
    }

    // readsFile is the text of a file that was sent, fetched as web clients do.
    async readsFile(room, event) {
        const { file } = (await this.event(room, event)).getContent();
        const answer = await fetch(this.client.mxcUrlToHttp(file.url, undefined, undefined, undefined, false, true, true), {
            headers: { Authorization: `Bearer ${this.client.getAccessToken()}` },
        });
        assert.equal(answer.status, 200, "the status of a download");
        return new TextDecoder().decode(await opened(await answer.arrayBuffer(), file));
    }
}

const t = { after() {}, diagnostic: (what) => console.error(what) };
const known = ({ name, id, username, password, url }) => Object.assign(new User(t, name, username, password, url), { id });
let keeper;

globalThis.tab = {
    // logsIn says what the server answered to the login.
    async logsIn(user, device, options) {
        keeper = await known(user).logsIn(device, options, PageKeeper);
        return keeper.login;
    },

    // comesBack is for a page that was loaded again, with that answer.
    async comesBack(user, device, options, login) {
        keeper = await known(user).uses(login, device, options, PageKeeper);
    },

    // asks makes requests as any script of the page can, and says of each what the
    // browser lets the script see.
    asks(requests) {
        return Promise.all(requests.map(async ({ url, size, ...request }) => {
            if (size) request.body = new Blob([new Uint8Array(size)]);
            try {
                const answer = await fetch(url, request);
                return { status: answer.status, headers: Object.fromEntries(answer.headers), body: await answer.text() };
            } catch (e) {
                return { failed: `${request.method} ${url}: ${e}` };
            }
        }));
    },

    // does one of the things that the keeper can.
    does: (what, args) => keeper[what](...args),
};
