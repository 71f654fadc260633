import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createClient } from "matrix-js-sdk";
import { agree } from "../scene/word.js";
import { anybody, baseUrl, newUser, refused } from "../scene/user.js";
import { quiet, watchful } from "../scene/watch.js";

describe("tokens", { concurrency: true }, () => {
    test("an access token is refreshed", async (t) => {
        const alice = await newUser(t, "alice");
        const login = await anybody(t).loginRequest({
            type: "m.login.password", identifier: { type: "m.id.user", user: alice.username }, password: alice.password, refresh_token: true,
        });
        assert.ok(login.refresh_token, "the login came without a refresh token");
        const refreshed = await anybody(t).refreshToken(login.refresh_token);
        const client = createClient({
            baseUrl, userId: alice.id, deviceId: login.device_id, accessToken: refreshed.access_token, logger: quiet(), fetchFn: watchful(t),
        });
        const me = await client.whoami();
        assert.deepEqual([me.user_id, me.device_id], [alice.id, login.device_id]);
        await refused("a refresh token that was used", anybody(t).refreshToken(login.refresh_token), 401, "M_UNKNOWN_TOKEN");
        const device = await alice.uses({ ...login, access_token: refreshed.access_token }, "phone", {});
        const room = await device.creates({ name: "Refreshed" });
        await agree(room, device);
    });
});
