// Users and the requests that make them. A user has an account; what logs in is
// a Device (device.js).

import assert from "node:assert/strict";
import { createClient } from "matrix-js-sdk";
import { Device } from "./device.js";
import { quiet, watchful } from "./watch.js";

// The server to play against, as with-parley names it.
export const baseUrl = process.env.PARLEY_E2E_URL;
assert.ok(baseUrl, "PARLEY_E2E_URL does not name a server; `make e2e-js` starts one");

// Another one that it federates with, if there is one.
export const otherUrl = process.env.PARLEY_E2E_OTHER_URL;

const random = () => crypto.randomUUID().replaceAll("-", "").slice(0, 16);

// newUser registers an account. Its name is new, so that scenes can be played
// more than once against one server.
export async function newUser(t, name, url = baseUrl) {
    const user = new User(t, name, `${name}-${random()}`, random(), url);
    user.id = (await register(anybody(t, url), user.username, user.password)).user_id;
    return user;
}

// newGuest is the device of somebody who has no account to come back to.
export async function newGuest(t) {
    const login = await anybody(t).registerGuest();
    const user = new User(t, "guest", login.user_id);
    user.id = login.user_id;
    const device = new Device(user, "tab", login, {});
    device.client.setGuest(true);
    await device.wakesUp();
    return device;
}

// anybody is a client that has not logged in.
export function anybody(t, url = baseUrl) {
    return createClient({ baseUrl: url, logger: quiet(), fetchFn: watchful(t) });
}

// register makes an account without a device, by the dummy stage, or by the
// token in PARLEY_E2E_REGISTRATION_TOKEN.
export async function register(client, username, password) {
    const request = { username, password, inhibit_login: true };
    const stage = async (auth) => {
        try {
            return [await client.registerRequest({ ...request, auth })];
        } catch (e) {
            if (e.httpStatus !== 401 || e.errcode) throw e;
            return [null, e.data.session];
        }
    };
    let [registered, session] = await stage(undefined);
    const token = process.env.PARLEY_E2E_REGISTRATION_TOKEN;
    if (!registered && token) {
        [registered, session] = await stage({ type: "m.login.registration_token", token, session });
    }
    if (!registered) [registered] = await stage({ type: "m.login.dummy", session });
    assert.ok(registered, `${username} went through the stages and is not registered`);
    return registered;
}

export class User {
    constructor(t, name, username, password, url = baseUrl) {
        Object.assign(this, { t, name, username, password, url });
    }

    // logsIn makes a device with the user's password and starts to sync. The
    // options are those of startClient.
    async logsIn(name, options = {}, Kind = Device) {
        const login = await anybody(this.t, this.url).loginRequest({
            type: "m.login.password",
            identifier: { type: "m.id.user", user: this.username },
            password: this.password,
            initial_device_display_name: name,
        });
        assert.equal(login.user_id, this.id);
        return this.uses(login, name, options, Kind);
    }

    // uses starts the syncing of a device that has its access token, and waits
    // for the first response.
    async uses(login, name, options, Kind = Device) {
        const device = new Kind(this, name, login, options);
        await device.wakesUp();
        return device;
    }
}

// refused expects a request that the server must not carry out to fail with one
// of the codes, and with the status.
export async function refused(what, request, status, ...codes) {
    await assert.rejects(request, (e) => {
        assert.ok(codes.includes(e.errcode), `${what}: got ${e.httpStatus} ${e.errcode}, want ${status} ${codes}: ${e}`);
        assert.equal(e.httpStatus, status, `${what}: ${e}`);
        return true;
    });
}
