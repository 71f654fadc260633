import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { EventType, RelationType } from "matrix-js-sdk";
import { agree } from "../scene/word.js";
import { newUser, refused } from "../scene/user.js";

describe("talk", { concurrency: true }, () => {
    test("two people talk", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob")];
        const [phone, laptop, bobs] = [await alice.logsIn("phone"), await alice.logsIn("laptop"), await bob.logsIn("phone")];
        const room = await phone.createsWith("The two of us", bobs);

        const hello = await phone.says(room, "hello");
        await bobs.seesEvents(room, hello);
        const answer = await bobs.replies(room, hello, "hello yourself");
        await phone.seesEvents(room, answer);
        const edit = await phone.edits(room, hello, "hello, Bob");
        const heart = await bobs.reacts(room, answer, "❤");

        for (const device of [phone, laptop, bobs]) {
            await device.seesEvents(room, hello, answer, edit, heart);
            assert.equal(device.find(room, answer).replyEventId, hello);
            const edited = device.find(room, hello);
            assert.deepEqual([edited.replacingEventId(), edited.getContent().body], [edit, "hello, Bob"]);
            const reactions = device.room(room).relations
                .getChildEventsForEvent(answer, RelationType.Annotation, EventType.Reaction)
                .getSortedAnnotationsByKey();
            assert.deepEqual(reactions.map(([key, events]) => [key, events.size]), [["❤", 1]]);
        }
        await agree(room, phone, laptop, bobs);
    });

    test("a message is redacted", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob")];
        const [phone, bobs] = [await alice.logsIn("phone"), await bob.logsIn("phone")];
        const room = await phone.createsWith("Regrets", bobs);

        const secret = await bobs.says(room, "my password is hunter2");
        await phone.seesEvents(room, secret);
        const redaction = await phone.redacts(room, secret, "you do not want to say that");
        const afresh = await phone.startsAfresh();
        for (const device of [phone, bobs, afresh]) {
            await device.sees(room, "the redaction", () => device.find(room, secret)?.isRedacted());
            assert.deepEqual(device.find(room, secret).getContent(), {});
            assert.equal(device.find(room, secret).getUnsigned().redacted_because.event_id, redaction);
        }

        const alices = await phone.says(room, "bob may not redact this");
        await bobs.seesEvents(room, alices);
        await refused("bob redacts what alice said", bobs.redacts(room, alices), 403, "M_FORBIDDEN");
        await agree(room, phone, afresh);
    });

    test("the state of a room changes", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob")];
        const [phone, bobs] = [await alice.logsIn("phone"), await bob.logsIn("phone")];
        const room = await phone.createsWith("Before", bobs);

        await phone.client.setRoomName(room, "After");
        await phone.client.setRoomTopic(room, "What we did afterwards");
        await bobs.sees(room, "the new name", (r) => r.name === "After");
        await bobs.sees(room, "the new topic", () => bobs.state(room, EventType.RoomTopic).topic === "What we did afterwards");
        await refused("bob names the room", bobs.client.setRoomName(room, "Bob's"), 403, "M_FORBIDDEN");

        await phone.client.setPowerLevel(room, bob.id, 50);
        await bobs.sees(room, "its own power", (r) => r.getMember(bob.id).powerLevel === 50);
        await bobs.client.setRoomName(room, "Bob's");
        await phone.sees(room, "the name that bob gave", (r) => r.name === "Bob's");
        await agree(room, phone, bobs);
    });
});
