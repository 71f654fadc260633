import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { EventType, JoinRule, KnownMembership, Preset } from "matrix-js-sdk";
import { agree } from "../scene/word.js";
import { newUser, refused } from "../scene/user.js";

// createsWithKnocking makes a room on whose door one may knock.
const createsWithKnocking = (device, name) =>
    device.creates({ name, preset: Preset.PrivateChat, initial_state: [{ type: EventType.RoomJoinRules, content: { join_rule: JoinRule.Knock } }] });

describe("knocks", { concurrency: true }, () => {
    test("a knock is answered", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob")];
        const [phone, bobs] = [await alice.logsIn("phone"), await bob.logsIn("phone")];
        const room = await createsWithKnocking(phone, "Please knock");
        await refused("bob enters without knocking", bobs.client.joinRoom(room), 403, "M_FORBIDDEN");

        await bobs.client.knockRoom(room, { reason: "it is raining" });
        await bobs.seesItself(room, KnownMembership.Knock);
        assert.equal(bobs.room(room).name, "Please knock");
        await phone.seesMember(room, bob, KnownMembership.Knock);
        assert.equal(phone.state(room, EventType.RoomMember, bob.id).reason, "it is raining");

        await phone.invites(room, bob);
        await bobs.seesItself(room, KnownMembership.Invite);
        await bobs.joins(room);
        await phone.seesEvents(room, await bobs.says(room, "thank you"));
        await agree(room, phone, bobs);
    });

    test("a knock is turned away, and one is taken back", async (t) => {
        const [alice, bob, carol] = [await newUser(t, "alice"), await newUser(t, "bob"), await newUser(t, "carol")];
        const [phone, bobs, carols] = [await alice.logsIn("phone"), await bob.logsIn("phone"), await carol.logsIn("phone")];
        const room = await createsWithKnocking(phone, "Nobody is at home");
        for (const [device, user] of [[bobs, bob], [carols, carol]]) {
            await device.client.knockRoom(room);
            await phone.seesMember(room, user, KnownMembership.Knock);
        }
        await phone.client.kick(room, bob.id, "not today");
        await bobs.seesItself(room, KnownMembership.Leave);
        await carols.client.leave(room);
        await carols.seesItself(room, KnownMembership.Leave);
        await phone.seesMember(room, carol, KnownMembership.Leave);
        await agree(room, phone);
    });
});
