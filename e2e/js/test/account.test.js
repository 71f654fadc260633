import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { EventType } from "matrix-js-sdk";
import { agree } from "../scene/word.js";
import { anybody, newUser, refused, register } from "../scene/user.js";

describe("accounts", { concurrency: true }, () => {
    test("an account is made and used on two devices", async (t) => {
        const alice = await newUser(t, "alice");
        const [phone, laptop] = [await alice.logsIn("phone"), await alice.logsIn("laptop")];
        assert.notEqual(phone.login.device_id, laptop.login.device_id);
        for (const device of [phone, laptop]) {
            const me = await device.client.whoami();
            assert.deepEqual([me.user_id, me.device_id], [alice.id, device.login.device_id]);
        }
        assert.equal((await phone.client.getDevices()).devices.length, 2);

        const room = await phone.creates({ name: "Made on the phone" });
        await laptop.sees(room, "the room made on the phone", (r) => r.name === "Made on the phone");
        await laptop.seesEvents(room, await phone.says(room, "hello from the phone"));
        await phone.seesEvents(room, await laptop.says(room, "hello from the laptop"));
        await agree(room, phone, laptop);
    });

    test("one device logs out and the other goes on", async (t) => {
        const alice = await newUser(t, "alice");
        const [phone, laptop] = [await alice.logsIn("phone"), await alice.logsIn("laptop")];
        const room = await phone.creates({});
        phone.fallsAsleep();
        await phone.client.logout();
        await refused("the phone asks who it is after it logged out", phone.client.whoami(), 401, "M_UNKNOWN_TOKEN");
        await laptop.seesEvents(room, await laptop.says(room, "still here"));
        await agree(room, laptop);
    });

    test("accounts are refused with the codes of the specification", async (t) => {
        const alice = await newUser(t, "alice");
        const nobody = anybody(t);
        await refused("registering a name that is taken", register(nobody, alice.username, "password"), 400, "M_USER_IN_USE");
        const login = (user, password) =>
            nobody.loginRequest({ type: "m.login.password", identifier: { type: "m.id.user", user }, password });
        await refused("a wrong password", login(alice.username, "a wrong one"), 403, "M_FORBIDDEN");
        await refused("a name that nobody has", login("nobody-" + alice.username, alice.password), 403, "M_FORBIDDEN");
    });

    test("account data reaches the other device", async (t) => {
        const alice = await newUser(t, "alice");
        const [phone, laptop] = [await alice.logsIn("phone"), await alice.logsIn("laptop")];
        const room = await phone.creates({});
        await phone.client.setAccountData("org.example.colour", { is: "green" });
        await phone.client.setRoomAccountData(room, "org.example.mood", { is: "good" });
        await phone.client.setRoomTag(room, "m.favourite", { order: 0.25 });

        await laptop.until("the account data", () => laptop.client.getAccountData("org.example.colour")?.getContent().is === "green");
        await laptop.sees(room, "the room's account data", (r) => r.getAccountData("org.example.mood")?.getContent().is === "good");
        await laptop.sees(room, "the tag", (r) => r.tags["m.favourite"]?.order === 0.25);
        assert.equal(laptop.room(room).getAccountData(EventType.Tag).getContent().tags["m.favourite"].order, 0.25);
        await agree(room, phone, laptop);
    });
});
