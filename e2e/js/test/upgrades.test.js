import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { EventType, Preset } from "matrix-js-sdk";
import { agree } from "../scene/word.js";
import { newUser, refused } from "../scene/user.js";

describe("upgrades", { concurrency: true }, () => {
    test("a room is upgraded and its members follow", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob")];
        const [phone, bobs] = [await alice.logsIn("phone"), await bob.logsIn("phone")];
        const old = await phone.creates({ name: "Moving", topic: "soon", preset: Preset.PublicChat, room_version: "10" });
        await bobs.joins(old);
        await phone.seesMember(old, bob, "join");
        await refused("bob upgrades the room", bobs.client.upgradeRoom(old, "12"), 403, "M_FORBIDDEN");
        await refused("an unknown version", phone.client.upgradeRoom(old, "no such version"), 400, "M_UNSUPPORTED_ROOM_VERSION");

        const { replacement_room: next } = await phone.client.upgradeRoom(old, "12");
        await phone.seesItself(next, "join");
        await bobs.sees(old, "where the room went", () => bobs.state(old, EventType.RoomTombstone).replacement_room === next);
        await refused("bob speaks in the old room", bobs.client.sendStateEvent(old, "org.example", {}, ""), 403, "M_FORBIDDEN");
        await bobs.joins(next);
        for (const device of [phone, bobs]) {
            await device.sees(next, "what the room was", (r) => r.name === "Moving" && r.findPredecessor()?.roomId === old);
            assert.deepEqual(device.client.getRoomUpgradeHistory(next, true).map((r) => r.roomId), [old, next]);
            assert.deepEqual(device.client.getVisibleRooms().map((r) => r.roomId), [next], "the old room is still shown");
            assert.equal(device.state(next, EventType.RoomTopic).topic, "soon");
            assert.equal(device.room(next).getVersion(), "12");
        }
        await agree(next, phone, bobs);
        await agree(old, phone, bobs);
    });
});
