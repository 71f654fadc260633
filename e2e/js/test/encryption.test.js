import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { EventShieldColour } from "matrix-js-sdk/lib/crypto-api/index.js";
import { everybodyReads, keeper, slider } from "../scene/keeper.js";
import { stranger, withoutStrangers } from "../scene/stranger.js";
import { asked, compareEmoji, compareWithStranger } from "../scene/verify.js";
import { baseUrl, newUser, otherUrl } from "../scene/user.js";

// Each scene is played on one server, and where there are two, across them; there
// again over sliding sync.
const where = [["on one server", baseUrl, keeper]];
if (otherUrl) where.push(["across servers", otherUrl, keeper], ["across servers, over sliding sync", otherUrl, slider]);

for (const [across, elsewhere, logsIn] of where) {
    describe(`encryption ${across}`, { concurrency: true }, () => {
        test("two people talk in secret", async (t) => {
            const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob", elsewhere)];
            const [phone, bobs] = [await logsIn(alice, "phone"), await logsIn(bob, "phone")];
            const room = await phone.createsSecret("Secret", bobs);
            const hello = await phone.says(room, "hello");
            await bobs.deciphers(room, hello, "hello");
            const reply = await bobs.replies(room, hello, "hello to you");
            await phone.deciphers(room, reply, "hello to you");
            await everybodyReads(room, phone, bobs);
        });

        test("two people verify each other, and trust the devices that the other adds", async (t) => {
            const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob", elsewhere)];
            const [phone, bobs] = [await logsIn(alice, "phone"), await logsIn(bob, "phone")];
            await phone.secures();
            await bobs.secures();
            const room = await phone.createsSecret("Verify", bobs);

            const received = asked(bobs);
            const request = await phone.crypto.requestVerificationDM(bob.id, room);
            await compareEmoji(phone, request, bobs, await received);
            await phone.trusts(bobs);
            await bobs.trusts(phone);

            const laptop = await logsIn(alice, "laptop");
            await laptop.signsItself();
            await bobs.trusts(laptop);
            await phone.trusts(laptop);
            const said = await laptop.says(room, "it is still me");
            await bobs.deciphers(room, said, "it is still me");
            const { shieldColour } = await bobs.crypto.getEncryptionInfoForEvent(bobs.find(room, said));
            assert.equal(shieldColour, EventShieldColour.NONE);
            await everybodyReads(room, phone, laptop, bobs);
        });

        test("a new login restores what was said from the key backup", async (t) => {
            const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob", elsewhere)];
            const [phone, bobs] = [await logsIn(alice, "phone"), await logsIn(bob, "phone")];
            await phone.secures();
            const room = await phone.createsSecret("Backup", bobs);
            const [one, two] = [await phone.says(room, "one"), await bobs.says(room, "two")];
            await phone.deciphers(room, two, "two");
            await phone.backsUp(2);

            const laptop = await logsIn(alice, "laptop");
            assert.equal(laptop.text(room, one), undefined);
            assert.equal(await laptop.recovers(), 2);
            await laptop.deciphers(room, one, "one");
            await laptop.deciphers(room, two, "two");
            await phone.trusts(laptop);

            const three = await bobs.says(room, "three");
            for (const device of [phone, laptop]) await device.deciphers(room, three, "three");
            await everybodyReads(room, phone, laptop, bobs);
        });

        test("each SDK restores what the other has backed up", { skip: withoutStrangers }, async (t) => {
            const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob", elsewhere)];
            const [phone, bobs] = [await logsIn(alice, "phone"), await stranger(bob)];
            await phone.secures();
            await bobs.secures();
            const room = await phone.createsSecret("Backups", bobs);
            const said = [[await phone.says(room, "from alice"), "from alice"], [await bobs.says(room, "from bob"), "from bob"]];
            for (const device of [phone, bobs]) for (const [event, body] of said) await device.deciphers(room, event, body);
            await bobs.backsUp(2);
            await phone.backsUp(2);

            const [laptop, alices, bobsNext] = [await logsIn(bob, "laptop"), await stranger(alice), await stranger(bob)];
            for (const device of [laptop, alices, bobsNext]) assert.equal(await device.recovers(), 2, device.who);
            await phone.trusts(alices);
            said.push([await phone.says(room, "to all"), "to all"]);
            for (const device of [laptop, alices, bobsNext]) for (const [event, body] of said) await device.deciphers(room, event, body);
            await everybodyReads(room, phone, laptop);
        });

        test("two who verify each other and a third with another SDK talk in secret", { skip: withoutStrangers }, async (t) => {
            const [alice, bob, carol] = [await newUser(t, "alice"), await newUser(t, "bob", elsewhere), await newUser(t, "carol", elsewhere)];
            const [phone, bobs, carols] = [await logsIn(alice, "phone"), await logsIn(bob, "phone"), await stranger(carol)];
            await phone.secures();
            await carols.secures();
            const room = await phone.createsSecret("Three", bobs);
            await phone.invites(room, carol);
            await carols.joins(room);
            for (const device of [phone, bobs]) await device.seesMember(room, carol, "join");
            for (const [who, body] of [[phone, "alice here"], [bobs, "bob here"], [carols, "carol here"], [phone, "all here"]]) {
                const said = await who.says(room, body);
                for (const device of [phone, bobs, carols]) await device.deciphers(room, said, body);
            }
            const request = await phone.crypto.requestDeviceVerification(carol.id, carols.login.device_id);
            await compareWithStranger(phone, request, carols);
            await phone.trusts(carols);
            await everybodyReads(room, phone, bobs);
        });

        test("devices come and go", async (t) => {
            const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob", elsewhere)];
            const [phone, bobs] = [await logsIn(alice, "phone"), await logsIn(bob, "phone")];
            const room = await phone.createsSecret("Devices", bobs);
            const alone = await bobs.says(room, "to the phone");
            await phone.deciphers(room, alone, "to the phone");

            const laptop = await logsIn(alice, "laptop");
            await bobs.seesDevices(alice, phone, laptop);
            const both = await bobs.says(room, "to both");
            for (const device of [phone, laptop]) await device.deciphers(room, both, "to both");

            laptop.fallsAsleep();
            await phone.authorizes((auth) => phone.client.deleteMultipleDevices([laptop.login.device_id], auth ?? undefined));
            await bobs.seesDevices(alice, phone);
            const session = async (event) => (await bobs.event(room, event)).getWireContent().session_id;
            const after = await bobs.says(room, "to the phone again");
            await phone.deciphers(room, after, "to the phone again");
            assert.notEqual(await session(after), await session(both), "the key that the laptop has is still in use");
            await everybodyReads(room, phone, bobs);
        });

        test("who is invited later is given the keys of what was said before", async (t) => {
            const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob", elsewhere)];
            const [phone, bobs] = [await logsIn(alice, "phone"), await logsIn(bob, "phone")];
            await phone.secures();
            await bobs.secures();
            const room = await phone.createsSecret("History");
            const said = new Map();
            for (const body of ["one", "two", "three"]) {
                said.set(await phone.says(room, body), body);
                await phone.discards(room);
            }
            await phone.invites(room, bob);
            await bobs.seesItself(room, "invite"); // or the SDK does not look for keys when it joins
            await bobs.joins(room);
            await bobs.paginatesToTheBeginning(room, 5);
            for (const [event, body] of said) await bobs.deciphers(room, event, body);
            await bobs.deciphers(room, await phone.says(room, "welcome"), "welcome");
            assert.deepEqual(bobs.secrecy(room), []);
            await everybodyReads(room, phone, bobs);
        });

        test("who joins later reads what is said from then on", async (t) => {
            const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob", elsewhere)];
            const [phone, bobs] = [await logsIn(alice, "phone"), await logsIn(bob, "phone")];
            const room = await phone.createsSecret("Later");
            const before = await phone.says(room, "nobody is here");
            await phone.invites(room, bob);
            await bobs.joins(room);
            await phone.seesMember(room, bob, "join");
            const after = await phone.says(room, "welcome");
            await bobs.deciphers(room, after, "welcome");
            await bobs.paginatesToTheBeginning(room, 5);
            await bobs.seesEvents(room, before, after);
            assert.equal(bobs.text(room, before), undefined);
            await everybodyReads(room, phone, bobs);
        });
    });
}
