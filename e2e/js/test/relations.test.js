import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { EventType, RelationType } from "matrix-js-sdk";
import { agree } from "../scene/word.js";
import { newUser, refused } from "../scene/user.js";

// reactionsOf are the keys with the number of those who chose them, as the SDK
// shows them below a message.
function reactionsOf(device, room, event) {
    const relations = device.room(room).relations.getChildEventsForEvent(event, RelationType.Annotation, EventType.Reaction);
    const sorted = relations?.getSortedAnnotationsByKey() ?? [];
    return sorted.filter(([, events]) => events.size > 0).map(([key, events]) => `${key}${events.size}`).join(" ");
}

describe("relations", { concurrency: true }, () => {
    test("reactions are counted, and taken back", async (t) => {
        const [alice, bob, carol] = [await newUser(t, "alice"), await newUser(t, "bob"), await newUser(t, "carol")];
        const [phone, bobs, carols] = [await alice.logsIn("phone"), await bob.logsIn("phone"), await carol.logsIn("phone")];
        const room = await phone.createsWith("Opinions", bobs, carols);

        const idea = await phone.says(room, "let us go to the sea");
        const yes = await bobs.reacts(room, idea, "👍");
        await carols.reacts(room, idea, "👍");
        await carols.reacts(room, idea, "🌊");
        for (const device of [phone, bobs, carols]) {
            await device.sees(room, "the reactions", () => reactionsOf(device, room, idea) === "👍2 🌊1");
        }
        await bobs.redacts(room, yes, "on second thoughts");
        const afresh = await bobs.startsAfresh();
        for (const device of [phone, carols, afresh]) {
            await device.sees(room, "one less", () => reactionsOf(device, room, idea) === "👍1 🌊1");
        }
        await agree(room, phone, carols, afresh);
    });

    test("nobody reacts twice in the same way", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob")];
        const [phone, bobs, bobsLaptop] = [await alice.logsIn("phone"), await bob.logsIn("phone"), await bob.logsIn("laptop")];
        const room = await phone.createsWith("Once is enough", bobs);
        const idea = await phone.says(room, "let us go to the sea");
        const yes = await bobs.reacts(room, idea, "👍");
        await bobs.seesEvents(room, yes);
        await refused("the same reaction from another device", bobsLaptop.reacts(room, idea, "👍"), 400, "M_DUPLICATE_ANNOTATION");
        await bobs.redacts(room, yes);
        await phone.seesEvents(room, await bobs.reacts(room, idea, "👍"));
        await agree(room, phone);
    });

    test("an edit is known to who comes to the message later", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob")];
        const [phone, bobs] = [await alice.logsIn("phone"), await bob.logsIn("phone")];
        const room = await phone.createsWith("Second thoughts", bobs);
        const first = await phone.says(room, "teh frist");
        for (let i = 0; i < 25; i++) await bobs.says(room, `in between ${i}`);
        await phone.edits(room, first, "the frist");
        const last = await phone.edits(room, first, "the first");
        await bobs.seesEvents(room, last);

        const fetched = await bobs.client.fetchRoomEvent(room, first);
        assert.deepEqual([fetched.content.body, fetched.unsigned["m.relations"]["m.replace"].event_id], ["teh frist", last]);
        const afresh = await bobs.startsAfresh();
        assert.equal(afresh.find(room, first), undefined, "the message is not far enough in the past");
        await afresh.paginatesToTheBeginning(room, 10);
        const shown = afresh.find(room, first);
        assert.deepEqual([shown.getContent().body, shown.replacingEventId()], ["the first", last]);
        await agree(room, phone, bobs, afresh);
    });

    test("what relates to a message is read by pages", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob")];
        const [phone, bobs] = [await alice.logsIn("phone"), await bob.logsIn("phone")];
        const room = await phone.createsWith("Pages", bobs);
        const root = await phone.says(room, "what shall we eat?");
        const reactions = [];
        for (const key of ["🍎", "🍐", "🍒", "🍓", "🍇"]) reactions.unshift(await bobs.reacts(room, root, key));
        await phone.edits(room, root, "what shall we eat tonight?");

        const { originalEvent, events } = await phone.client.relations(room, root, RelationType.Annotation, EventType.Reaction);
        assert.deepEqual([originalEvent.getId(), events.map((e) => e.getId())], [root, reactions]);
        const paged = [];
        let from;
        do {
            const page = await phone.client.fetchRelations(room, root, RelationType.Annotation, EventType.Reaction, { limit: 2, from });
            assert.ok(page.chunk.length <= 2, "a page is larger than was wanted");
            paged.push(...page.chunk.map((e) => e.event_id));
            from = page.next_batch;
        } while (from);
        assert.deepEqual(paged, reactions);
        const forwards = await phone.client.fetchRelations(room, root, null, null, { dir: "f" });
        assert.deepEqual(forwards.chunk.slice(0, 5).map((e) => e.event_id), reactions.toReversed());
        assert.equal(forwards.chunk.length, 6);
    });

    test("a moment leads to an event", async (t) => {
        const alice = await newUser(t, "alice");
        const phone = await alice.logsIn("phone");
        const room = await phone.creates({ name: "Time" });
        const [one, two] = [await phone.says(room, "one"), await phone.says(room, "two")];
        const [first, second] = [await phone.event(room, one), await phone.event(room, two)];
        assert.ok(second.getTs() >= first.getTs());
        const before = await phone.client.timestampToEvent(room, second.getTs() + 1, "b");
        assert.deepEqual([before.event_id, before.origin_server_ts], [two, second.getTs()]);
        const after = await phone.client.timestampToEvent(room, 0, "f");
        assert.equal((await phone.client.fetchRoomEvent(room, after.event_id)).type, EventType.RoomCreate);
        await refused("an event of the future", phone.client.timestampToEvent(room, second.getTs() + 1e9, "f"), 404, "M_NOT_FOUND");
    });
});
