import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { agree } from "../scene/word.js";
import { newUser, refused } from "../scene/user.js";

describe("people", { concurrency: true }, () => {
    test("others see who is there, and what they say of it", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob")];
        const [phone, bobs] = [await alice.logsIn("phone"), await bob.logsIn("phone")];
        const room = await phone.createsWith("Presence", bobs);
        await phone.client.setPresence({ presence: "online", status_msg: "at lunch" });
        await bobs.until("alice's status", () => bobs.client.getUser(alice.id)?.presenceStatusMsg === "at lunch");
        assert.equal(bobs.client.getUser(alice.id).presence, "online");
        const status = await bobs.client.getPresence(alice.id);
        assert.deepEqual([status.presence, status.status_msg, status.currently_active], ["online", "at lunch", true]);
        const carols = await (await newUser(t, "carol")).logsIn("phone");
        await refused("carol asks for who shares no room with her", carols.client.getPresence(alice.id), 403, "M_FORBIDDEN");
        await agree(room, phone, bobs);
    });

    test("who is ignored is not heard", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob")];
        const [phone, laptop, bobs] = [await alice.logsIn("phone"), await alice.logsIn("laptop"), await bob.logsIn("phone")];
        const room = await phone.createsWith("Quiet", bobs);
        await phone.client.setIgnoredUsers([bob.id]);
        await laptop.until("that bob is ignored", () => laptop.client.isUserIgnored(bob.id));

        const ignored = await bobs.says(room, "can you hear me?");
        const invited = await bobs.creates({ name: "Come here", invite: [alice.id] });
        const heard = await phone.says(room, "so quiet here");
        const afresh = await phone.startsAfresh();
        for (const device of [phone, laptop, afresh]) {
            await device.seesEvents(room, heard);
            assert.ok(!device.find(room, ignored), `${device.who} hears bob`);
            assert.ok(!device.room(invited), `${device.who} sees the invite`);
            assert.deepEqual(device.unread(room), [0, 0]);
        }
        await phone.client.setIgnoredUsers([]);
        await laptop.until("that bob is heard again", () => !laptop.client.isUserIgnored(bob.id));
        const again = await bobs.says(room, "and now?");
        for (const device of [phone, laptop]) await device.seesEvents(room, again);
        await agree(room, bobs);
    });
});
