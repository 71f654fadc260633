import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { EventType, JoinRule, Preset, RoomType } from "matrix-js-sdk";
import { RoomHierarchy } from "matrix-js-sdk/lib/room-hierarchy.js";
import { agree } from "../scene/word.js";
import { newUser, refused } from "../scene/user.js";

// createsSpace makes a space with children.
async function createsSpace(device, name, options, ...children) {
    const space = await device.creates({ name, creation_content: { type: RoomType.Space }, ...options });
    for (const [i, child] of children.entries()) {
        const content = { via: [device.client.getDomain()], order: String.fromCharCode(97 + i), suggested: i === 0 };
        await device.client.sendStateEvent(space, EventType.SpaceChild, content, child);
    }
    return space;
}

describe("spaces", { concurrency: true }, () => {
    test("a space is walked through, and a room in it is joined", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob")];
        const [phone, bobs] = [await alice.logsIn("phone"), await bob.logsIn("phone")];
        const open = await phone.creates({ name: "Open", topic: "for all", preset: Preset.PublicChat });
        const secret = await phone.creates({ name: "Secret", preset: Preset.PrivateChat });
        const deep = await phone.creates({ name: "Deep", preset: Preset.PublicChat });
        const inner = await createsSpace(phone, "Inner", { preset: Preset.PublicChat }, deep);
        const space = await createsSpace(phone, "Outer", { preset: Preset.PublicChat }, open, secret, inner);

        await bobs.joins(space);
        assert.ok(bobs.room(space).isSpaceRoom());
        const hierarchy = new RoomHierarchy(bobs.room(space), 2);
        while (hierarchy.canLoadMore) await hierarchy.load();
        assert.deepEqual(hierarchy.rooms.map((r) => r.name), ["Outer", "Open", "Inner", "Deep"]);
        const [, about] = hierarchy.rooms;
        assert.deepEqual([about.room_id, about.topic, about.join_rule, about.num_joined_members], [open, "for all", "public", 1]);
        assert.ok(hierarchy.isSuggested(space, open) && !hierarchy.isSuggested(space, inner));
        const suggested = await bobs.client.getRoomHierarchy(space, 10, 1, true);
        assert.deepEqual(suggested.rooms.map((r) => r.name), ["Outer", "Open"]);

        await bobs.joins(open);
        await phone.seesMember(open, bob, "join");
        await agree(open, phone, bobs);
        await agree(space, phone, bobs);
        const carols = await (await newUser(t, "carol")).logsIn("phone");
        await refused("carol walks through a room that she cannot see", carols.client.getRoomHierarchy(secret, 10), 403, "M_FORBIDDEN");
    });

    test("who is in the space may join the room", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob")];
        const [phone, bobs] = [await alice.logsIn("phone"), await bob.logsIn("phone")];
        const space = await createsSpace(phone, "Club", { preset: Preset.PublicChat });
        const allow = [{ type: "m.room_membership", room_id: space }];
        const room = await phone.creates({
            name: "Members only",
            initial_state: [{ type: EventType.RoomJoinRules, content: { join_rule: JoinRule.Restricted, allow } }],
        });
        await refused("bob joins from outside", bobs.client.joinRoom(room), 403, "M_FORBIDDEN");
        await bobs.joins(space);
        await bobs.joins(room);
        await phone.seesMember(room, bob, "join");
        await agree(room, phone, bobs);
    });

    test("a room is described to who is not in it", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob")];
        const [phone, bobs] = [await alice.logsIn("phone"), await bob.logsIn("phone")];
        const open = await phone.creates({ name: "Open", topic: "for all", preset: Preset.PublicChat });
        const secret = await phone.creates({ name: "Secret", preset: Preset.PrivateChat });
        const summary = await bobs.client.getRoomSummary(open);
        assert.deepEqual([summary.room_id, summary.name, summary.topic, summary.join_rule, summary.num_joined_members, summary.membership ?? "leave"],
            [open, "Open", "for all", "public", 1, "leave"]);
        assert.equal((await phone.client.getRoomSummary(secret)).membership, "join");
        await refused("a room that is not for bob", bobs.client.getRoomSummary(secret), 404, "M_NOT_FOUND");
    });
});
