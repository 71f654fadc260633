import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { MsgType, ReceiptType } from "matrix-js-sdk";
import { agree } from "../scene/word.js";
import { newUser } from "../scene/user.js";

describe("what others do", { concurrency: true }, () => {
    test("reading clears the unread count and shows to the others", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob")];
        const [phone, bobs, bobsLaptop] = [await alice.logsIn("phone"), await bob.logsIn("phone"), await bob.logsIn("laptop")];
        const room = await phone.createsWith("To be read", bobs);

        let last;
        for (const text of ["one", "two", "three"]) last = await phone.says(room, text);
        for (const device of [bobs, bobsLaptop]) await device.seesUnread(room, 3, 0);
        const mention = await phone.sends(room, { msgtype: MsgType.Text, body: "bob!", "m.mentions": { user_ids: [bob.id] } });
        await bobs.seesUnread(room, 4, 1);

        await bobs.reads(room, last);
        await phone.seesRead(room, bob, last);
        await bobsLaptop.seesUnread(room, 1, 1);
        await bobs.reads(room, mention);
        await phone.seesRead(room, bob, mention);
        for (const device of [phone, bobs, bobsLaptop]) await device.seesUnread(room, 0, 0);
        await agree(room, phone, bobs, bobsLaptop);
    });

    test("a private receipt is seen by its owner only", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob")];
        const [phone, bobs, bobsLaptop] = [await alice.logsIn("phone"), await bob.logsIn("phone"), await bob.logsIn("laptop")];
        const room = await phone.createsWith("Discreet", bobs);

        const first = await phone.says(room, "did you see this?");
        await bobs.reads(room, first, ReceiptType.ReadPrivate);
        await bobsLaptop.seesRead(room, bob, first, ReceiptType.ReadPrivate);
        await bobsLaptop.seesUnread(room, 0, 0);
        const second = await phone.says(room, "and this?");
        await bobs.reads(room, second);
        await phone.seesRead(room, bob, second);
        assert.equal(phone.read(room, bob, ReceiptType.ReadPrivate), undefined);
        await agree(room, phone, bobs, bobsLaptop);
    });

    test("the fully read marker reaches the other device", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob")];
        const [phone, bobs, bobsLaptop] = [await alice.logsIn("phone"), await bob.logsIn("phone"), await bob.logsIn("laptop")];
        const room = await phone.createsWith("Markers", bobs);

        const event = await phone.says(room, "read me");
        await bobs.client.setRoomReadMarkers(room, event, await bobs.event(room, event));
        await bobsLaptop.sees(room, "the marker", (r) => r.getAccountData("m.fully_read")?.getContent().event_id === event);
        await phone.seesRead(room, bob, event);
        await agree(room, phone, bobs, bobsLaptop);
    });

    test("typing starts and stops", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob")];
        const [phone, bobs] = [await alice.logsIn("phone"), await bob.logsIn("phone")];
        const room = await phone.createsWith("Typing", bobs);
        const bobTypes = (want) => (r) => r.getMember(bob.id).typing === want;

        await bobs.client.sendTyping(room, true, 60_000);
        await phone.sees(room, "bob typing", bobTypes(true));
        await bobs.client.sendTyping(room, false, 0);
        await phone.sees(room, "that bob stopped", bobTypes(false));
        await bobs.client.sendTyping(room, true, 500);
        await phone.sees(room, "bob typing again", bobTypes(true));
        await phone.sees(room, "that bob's time ran out", bobTypes(false));
        await agree(room, phone, bobs);
    });

    test("a changed name reaches the rooms", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob")];
        const [phone, bobs] = [await alice.logsIn("phone"), await bob.logsIn("phone")];
        const rooms = [await phone.createsWith("One", bobs), await phone.createsWith("Two", bobs)];

        await bobs.client.setDisplayName("Robert");
        for (const room of rooms) {
            for (const device of [phone, bobs]) {
                await device.sees(room, "bob's new name", (r) => r.getMember(bob.id).name === "Robert");
            }
            await agree(room, phone, bobs);
        }
        assert.equal((await phone.client.getProfileInfo(bob.id)).displayname, "Robert");
    });
});
