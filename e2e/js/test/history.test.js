import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { EventType } from "matrix-js-sdk";
import { agree } from "../scene/word.js";
import { newUser } from "../scene/user.js";

// converse has devices say n things in turns.
async function converse(room, n, ...devices) {
    const said = [];
    for (let i = 0; i < n; i++) said.push(await devices[i % devices.length].says(room, `number ${i}`));
    return said;
}

describe("history", { concurrency: true }, () => {
    test("history is paged back to its beginning", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob")];
        const [phone, bobs] = [await alice.logsIn("phone"), await bob.logsIn("phone")];
        const room = await phone.createsWith("A long story", bobs);
        const said = await converse(room, 45, phone, bobs);
        await phone.seesEvents(room, ...said);

        const afresh = await phone.startsAfresh();
        await afresh.seesEvents(room, ...said.slice(25));
        assert.equal(afresh.find(room, said[24]), undefined);
        const pages = await afresh.paginatesToTheBeginning(room, 10);
        assert.ok(pages >= 3, `45 messages and the making of the room, of which 20 events are known, in ${pages} pages of 10`);
        await afresh.seesEvents(room, ...said);
        assert.equal(afresh.events(room)[0].getType(), EventType.RoomCreate);
        await phone.paginatesToTheBeginning(room, 100);
        await bobs.paginatesToTheBeginning(room, 3);
        await agree(room, phone, afresh, bobs);
    });

    test("a device that slept finds the gap and fills it", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob")];
        const [phone, bobs] = [await alice.logsIn("phone"), await bob.logsIn("phone")];
        const room = await phone.createsWith("While you slept", bobs);
        const before = await phone.says(room, "good night");
        await phone.seesEvents(room, before);

        phone.fallsAsleep();
        const missed = await converse(room, 30, bobs);
        await bobs.client.setDisplayName("Robert, who talks a lot");
        await phone.wakesUp();

        await phone.seesEvents(room, missed.at(-1));
        await phone.sees(room, "the state after the gap", (r) => r.getMember(bob.id).name === "Robert, who talks a lot");
        assert.equal(phone.find(room, before), undefined, "there is no gap");
        while (phone.find(room, before) === undefined) await phone.paginates(room, 20);
        await phone.seesEvents(room, before, ...missed);
        await phone.paginatesToTheBeginning(room, 20);
        await agree(room, phone, bobs);
    });

    test("a sync from the beginning is the sum of all syncs", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob")];
        const [phone, bobs] = [await alice.logsIn("phone"), await bob.logsIn("phone")];
        const room = await phone.createsWith("Everything", bobs);
        await phone.client.setRoomTopic(room, "All of it");
        await phone.client.setRoomTag(room, "m.favourite", { order: 0.5 });
        const said = await converse(room, 7, phone, bobs);
        await bobs.reads(room, said[4]);
        await phone.reads(room, said[3]);
        await bobs.client.setDisplayName("Robert");
        const gone = await bobs.redacts(room, said[5]);
        for (const device of [phone, bobs]) {
            await device.seesEvents(room, gone);
            await device.seesRead(room, bob, said[4]);
            await device.seesRead(room, alice, said[3]);
            await device.sees(room, "bob's name", (r) => r.getMember(bob.id).name === "Robert");
        }
        for (const device of [phone, bobs]) {
            const afresh = await device.startsAfresh();
            await afresh.seesEvents(room, gone);
            await agree(room, device, afresh);
        }
    });
});
