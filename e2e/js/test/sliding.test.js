import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { EventType } from "matrix-js-sdk";
import { newUser } from "../scene/user.js";

const required = [
    [EventType.RoomMember, "$LAZY"], [EventType.RoomMember, "$ME"], [EventType.RoomName, ""], [EventType.RoomCreate, ""],
    [EventType.RoomPowerLevels, ""], [EventType.RoomEncryption, ""], [EventType.RoomTopic, ""],
];

// slides asks for the rooms in which something happened last.
const slides = (last) => ({
    slides: {
        lists: { rooms: { ranges: [[0, last]], timeline_limit: 1, required_state: required } },
        room: { timeline_limit: 20, required_state: required },
    },
});

describe("sliding sync", { concurrency: true }, () => {
    test("a list of rooms grows, and a room that is opened has its history", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob")];
        const [phone, bobs] = [await alice.logsIn("phone"), await bob.logsIn("old phone")];
        const rooms = [];
        for (const name of ["first", "second", "third"]) rooms.push(await phone.createsWith(name, bobs));
        const said = [];
        for (const body of ["one", "two", "three"]) said.push(await phone.says(rooms[2], body));

        const tablet = await bob.logsIn("tablet", slides(1));
        await tablet.sees(rooms[2], "the room of last", (r) => r.name === "third" && r.getMyMembership() === "join");
        await tablet.sees(rooms[1], "the one before", (r) => r.name === "second");
        assert.equal(tablet.client.getRoom(rooms[0]), null, "the window has two rooms");
        await tablet.seesEvents(rooms[2], said[2]);
        assert.equal(tablet.find(rooms[2], said[0]), undefined, "one event was asked for");

        tablet.sliding.setListRanges("rooms", [[0, 19]]);
        await tablet.sees(rooms[0], "the first room", (r) => r.name === "first");
        tablet.sliding.modifyRoomSubscriptions(new Set([rooms[2]]));
        await tablet.seesEvents(rooms[2], ...said);

        const news = await phone.says(rooms[0], "hello");
        await tablet.seesEvents(rooms[0], news);
        await phone.seesEvents(rooms[0], await tablet.says(rooms[0], "hello yourself"));
        await phone.client.setRoomName(rooms[1], "renamed");
        await tablet.sees(rooms[1], "the new name", (r) => r.name === "renamed");
        await phone.client.kick(rooms[1], bob.id, "enough");
        await tablet.sees(rooms[1], "being thrown out", (r) => r.getMyMembership() === "leave");
    });

    test("an invite comes, and what is told beside rooms", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob")];
        const [phone, tablet] = [await alice.logsIn("phone"), await bob.logsIn("tablet", slides(19))];
        const room = await phone.creates({ name: "Come in", preset: "private_chat" });
        await phone.invites(room, bob);
        await tablet.sees(room, "the invite", (r) => r.getMyMembership() === "invite" && r.name === "Come in");
        await tablet.joins(room);
        await phone.seesMember(room, bob, "join");

        const hello = await phone.says(room, "hello");
        await tablet.seesEvents(room, hello);
        await phone.client.sendTyping(room, true, 20_000);
        await tablet.sees(room, "alice typing", (r) => r.getMember(alice.id)?.typing);
        await phone.seesEvents(room, await tablet.says(room, "I have read that"));
        await tablet.client.setAccountData("org.example.colour", { is: "green" });
        await tablet.until("the account data", () => tablet.client.getAccountData("org.example.colour")?.getContent().is === "green");
        await tablet.client.setRoomTag(room, "m.favourite", { order: 0.5 });
        await tablet.sees(room, "the tag", (r) => r.tags["m.favourite"]?.order === 0.5);
    });
});
