import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { MsgType, RelationType, ThreadFilterType } from "matrix-js-sdk";
import { agree } from "../scene/word.js";
import { newUser } from "../scene/user.js";

// What a device that shows threads apart is started with.
const threaded = { threadSupport: true };

// inThread is a message in the thread of a root.
const inThread = (root, body, more = {}) => ({
    msgtype: MsgType.Text,
    body,
    "m.relates_to": { rel_type: RelationType.Thread, event_id: root },
    ...more,
});

// threadOf waits until a device knows that the last event of a thread is the one
// named, and returns the thread.
async function threadOf(device, room, root, last) {
    await device.sees(room, "the last event of the thread", (r) => r.getThread(root)?.replyToEvent?.getId() === last);
    return device.room(room).getThread(root);
}

// unread is what a device has not read outside of all threads, and in one.
const unread = (room, root) => [
    room.getRoomUnreadNotificationCount("total"), room.getThreadUnreadNotificationCount(root, "total"),
    room.getThreadUnreadNotificationCount(root, "highlight"),
];

describe("threads", { concurrency: true }, () => {
    test("what is said in a thread is counted and read apart", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob")];
        const [phone, tablet] = [await alice.logsIn("phone"), await alice.logsIn("tablet", threaded)];
        const [bobs, bobsLaptop] = [await bob.logsIn("phone", threaded), await bob.logsIn("laptop", threaded)];
        const room = await phone.createsWith("Threads", bobs);

        const root = await phone.says(room, "who comes to dinner?");
        const reply = await phone.sends(room, inThread(root, "it is at eight"));
        const mention = await phone.sends(room, inThread(root, "bob?", { "m.mentions": { user_ids: [bob.id] } }));
        for (const device of [bobs, bobsLaptop]) {
            await device.sees(room, "what is unread", (r) => unread(r, root).join() === "1,2,1");
        }
        const thread = await threadOf(bobs, room, root, mention);
        assert.equal(thread.rootEvent.getContent().body, "who comes to dinner?");
        assert.deepEqual(bobs.ids(room).filter((id) => [root, reply, mention].includes(id)), [root], "what is in the thread is in the room, too");

        await bobs.client.sendReadReceipt(thread.replyToEvent);
        for (const device of [bobs, bobsLaptop]) {
            await device.sees(room, "that the thread is read", (r) => unread(r, root).join() === "1,0,0");
        }
        await tablet.sees(room, "how far bob has read in the thread", (r) => r.getThread(root)?.getReadReceiptForUserId(bob.id, true)?.eventId === mention);
        await bobs.client.sendReadReceipt(await bobs.event(room, root));
        await bobsLaptop.sees(room, "that all is read", (r) => unread(r, root).join() === "0,0,0");
    });

    test("the threads of a room are listed", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob")];
        const [phone, bobs] = [await alice.logsIn("phone"), await bob.logsIn("phone")];
        const room = await phone.createsWith("Many threads", bobs);
        const roots = [];
        for (const topic of ["cats", "dogs", "owls"]) roots.push(await phone.says(room, topic));
        const last = [];
        for (const root of roots) last.push(await phone.sends(room, inThread(root, "about them")));
        await bobs.seesEvents(room, last[2]);
        last[0] = await bobs.sends(room, inThread(roots[0], "I like cats"));
        for (let i = 0; i < 25; i++) await phone.says(room, `and now for something else ${i}`);

        const laptop = await bob.logsIn("laptop", threaded);
        const known = laptop.room(room);
        await known.createThreadsTimelineSets();
        await known.fetchRoomThreads();
        const [all, his] = known.threadsTimelineSets.map((s) => s.getLiveTimeline().getEvents().map((e) => e.getId()));
        assert.deepEqual([all.toReversed(), his], [[roots[0], roots[2], roots[1]], [roots[0]]], "the lists of threads");
        const cats = await threadOf(laptop, room, roots[0], last[0]);
        assert.deepEqual([cats.length, cats.hasCurrentUserParticipated], [2, true]);
        assert.equal((await threadOf(laptop, room, roots[2], last[2])).hasCurrentUserParticipated, false);

        const page = await bobs.client.createThreadListMessagesRequest(room, null, 2, "b", ThreadFilterType.All);
        assert.deepEqual(page.chunk.map((e) => e.event_id), [roots[2], roots[0]], "the SDK turns pages around");
        const rest = await bobs.client.createThreadListMessagesRequest(room, page.end, 2, "b", ThreadFilterType.All);
        assert.deepEqual([rest.chunk.map((e) => e.event_id), rest.end], [[roots[1]], undefined]);
        await agree(room, phone, bobs);
    });
});
