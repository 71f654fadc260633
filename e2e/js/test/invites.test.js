import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { EventType, Preset } from "matrix-js-sdk";
import { agree } from "../scene/word.js";
import { newUser, refused } from "../scene/user.js";

describe("invites", { concurrency: true }, () => {
    test("an invite arrives with the stripped state of the room", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob")];
        const phone = await alice.logsIn("phone");
        const [bobs, bobsLaptop] = [await bob.logsIn("phone"), await bob.logsIn("laptop")];
        await phone.client.setDisplayName("Alice");
        const room = await phone.creates({ name: "The Garden", topic: "Plants", preset: Preset.PrivateChat });
        await phone.says(room, "not for bob's eyes before he joins");
        await phone.invites(room, bob);

        for (const device of [bobs, bobsLaptop]) {
            await device.seesItself(room, "invite");
            assert.equal(device.room(room).name, "The Garden");
            assert.equal(device.state(room, EventType.RoomTopic).topic, "Plants");
            assert.equal(device.state(room, EventType.RoomJoinRules).join_rule, "invite");
            assert.equal(device.room(room).getMember(bob.id).events.member.getSender(), alice.id);
            assert.ok(device.room(room).getVersion(), "the create event is not in the stripped state");
            assert.deepEqual(device.events(room).filter((e) => !e.isState()), []);
        }
        await phone.seesMember(room, bob, "invite");

        await bobs.joins(room);
        await bobsLaptop.seesItself(room, "join");
        await phone.seesMember(room, bob, "join");
        await phone.seesEvents(room, await bobs.says(room, "thank you"));
        await agree(room, phone, bobs, bobsLaptop);
    });

    test("an invite is declined and another is taken back", async (t) => {
        const [alice, bob, carol] = [await newUser(t, "alice"), await newUser(t, "bob"), await newUser(t, "carol")];
        const [phone, bobs, carols] = [await alice.logsIn("phone"), await bob.logsIn("phone"), await carol.logsIn("phone")];
        const room = await phone.creates({ name: "Nobody comes", preset: Preset.PrivateChat });
        await phone.invites(room, bob);
        await phone.invites(room, carol);
        await bobs.seesItself(room, "invite");
        await carols.seesItself(room, "invite");

        await bobs.leaves(room);
        await phone.seesMember(room, bob, "leave");
        await phone.client.kick(room, carol.id, "changed my mind");
        await carols.seesItself(room, "leave");
        await refused("carol joins without an invitation", carols.client.joinRoom(room), 403, "M_FORBIDDEN");
        await agree(room, phone);
    });

    test("a room without a name is named by the others in it", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob")];
        const [phone, bobs] = [await alice.logsIn("phone"), await bob.logsIn("phone")];
        await bobs.client.setDisplayName("Bob");
        const room = await phone.creates({ preset: Preset.TrustedPrivateChat, is_direct: true, invite: [bob.id] });

        await bobs.sees(room, "a direct chat", (r) => r.getDMInviter() === alice.id);
        await bobs.joins(room);
        await phone.sees(room, "the room by the name of bob", (r) => r.name === "Bob");
        await agree(room, phone, bobs);
    });
});
