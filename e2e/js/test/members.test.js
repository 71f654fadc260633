import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { EventType, Preset } from "matrix-js-sdk";
import { agree, ask, plainSync } from "../scene/word.js";
import { newUser, refused } from "../scene/user.js";

describe("members", { concurrency: true }, () => {
    test("a member is kicked and comes back", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob")];
        const [phone, bobs] = [await alice.logsIn("phone"), await bob.logsIn("phone")];
        const room = await phone.createsWith("The door", bobs);

        await phone.client.kick(room, bob.id, "go outside");
        await bobs.seesItself(room, "leave");
        assert.equal(bobs.state(room, EventType.RoomMember, bob.id).reason, "go outside");
        await refused("bob speaks after he was kicked", bobs.client.sendStateEvent(room, "org.example", {}, ""), 403, "M_FORBIDDEN");
        await phone.client.setRoomTopic(room, "he cannot see this");
        await agree(room, phone, bobs);

        await phone.invites(room, bob);
        await bobs.joins(room);
        await bobs.sees(room, "the new topic", () => bobs.state(room, EventType.RoomTopic).topic === "he cannot see this");
        await phone.seesEvents(room, await bobs.says(room, "back again"));
        await agree(room, phone, bobs);
    });

    test("a ban holds until it is lifted", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob")];
        const [phone, bobs] = [await alice.logsIn("phone"), await bob.logsIn("phone")];
        const room = await phone.creates({ name: "Open to all but Bob", preset: Preset.PublicChat });
        await bobs.joins(room);
        await phone.seesMember(room, bob, "join");

        await phone.client.ban(room, bob.id, "enough");
        await bobs.seesItself(room, "ban");
        await refused("bob joins while he is banned", bobs.client.joinRoom(room), 403, "M_FORBIDDEN", "M_BAD_STATE");
        await refused("alice invites whom she banned", phone.invites(room, bob), 403, "M_FORBIDDEN", "M_BAD_STATE");
        await agree(room, phone);

        await phone.client.unban(room, bob.id);
        await phone.seesMember(room, bob, "leave");
        await bobs.joins(room);
        await phone.seesMember(room, bob, "join");
        await agree(room, phone, bobs);
    });

    test("a room is left and forgotten", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob")];
        const [phone, bobs] = [await alice.logsIn("phone"), await bob.logsIn("phone")];
        const room = await phone.createsWith("Soon forgotten", bobs);
        await refused("bob forgets a room that he is in", bobs.client.forget(room, false), 400, "M_UNKNOWN");

        await bobs.leaves(room);
        await phone.seesMember(room, bob, "leave");
        assert.deepEqual((await bobs.client.getJoinedRooms()).joined_rooms, []);
        await agree(room, phone, bobs);

        await bobs.client.forget(room);
        assert.equal(bobs.room(room), undefined);
        assert.equal((await plainSync(bobs, room))[0], undefined);
        assert.equal((await ask(bobs, `rooms/${encodeURIComponent(room)}/messages`, { dir: "b" })).status, 403);
        await agree(room, phone);
    });

    test("members are loaded when they speak", async (t) => {
        const alice = await newUser(t, "alice");
        const phone = await alice.logsIn("phone");
        const room = await phone.creates({ name: "A crowd", preset: Preset.PublicChat });
        const crowd = [];
        for (let i = 0; i < 8; i++) {
            crowd.push(await (await newUser(t, `member${i}`)).logsIn("phone"));
            await crowd[i].joins(room);
        }
        let last;
        for (let i = 0; i < 25; i++) last = await crowd[i % 2].says(room, `number ${i}`);

        const lazy = await alice.logsIn("tablet", { lazyLoadMembers: true });
        await lazy.seesEvents(room, last);
        await lazy.sees(room, "how many there are", (r) => r.getJoinedMemberCount() === 9);
        const known = lazy.room(room).getMembers().map((m) => m.userId);
        for (const speaker of crowd.slice(0, 2)) assert.ok(known.includes(speaker.user.id), `${speaker.who} speaks, and is not known`);
        assert.ok(known.length < 9, "all members came, though most say nothing");

        await lazy.seesEvents(room, await crowd[7].says(room, "and me"));
        await lazy.seesMember(room, crowd[7].user, "join");
        await agree(room, lazy);

        await lazy.room(room).loadMembersIfNeeded();
        assert.equal(lazy.room(room).getJoinedMembers().length, 9);
        await agree(room, lazy, phone);
    });
});
