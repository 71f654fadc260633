import { describe, test } from "node:test";
import { everybodyReads, keeper } from "../scene/keeper.js";
import { ends, isKilled, starts, without } from "../scene/servers.js";
import { newUser, otherUrl } from "../scene/user.js";

// These stop the servers, so they are played one after the other, and with no
// other scene beside them.
describe("encryption while servers go", { skip: without }, () => {
    for (const [how, goes] of [["ends", ends], ["is killed", isKilled]]) {
        test(`what is said while a server ${how} is read when it is back`, async (t) => {
            const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob", otherUrl)];
            const [phone, bobs] = [await keeper(alice, "phone"), await keeper(bob, "phone")];
            const room = await phone.createsSecret("Down", bobs);
            const hello = await bobs.says(room, "hello");
            await phone.deciphers(room, hello, "hello");

            bobs.bears();
            await goes(1);
            await phone.crypto.forceDiscardSession(room); // the key has to wait too
            const said = new Map();
            for (const body of ["one", "two", "three"]) said.set(await phone.says(room, body), body);
            await starts(1);
            for (const [event, body] of said) await bobs.deciphers(room, event, body);
            const back = await bobs.says(room, "I am back");
            await phone.deciphers(room, back, "I am back");
            await everybodyReads(room, phone, bobs);
        });
    }

    test("a server that is killed again and again loses no key that it has taken", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob", otherUrl)];
        const [phone, laptop] = [await keeper(alice, "phone"), await keeper(alice, "laptop")];
        const bobs = await keeper(bob, "phone");
        const room = await phone.createsSecret("Killed", bobs);
        for (const device of [phone, laptop]) device.bears();
        const said = new Map();
        for (let i = 0; i < 4; i++) {
            await bobs.crypto.forceDiscardSession(room);
            said.set(await bobs.says(room, `number ${i}`), `number ${i}`); // on its way when the server dies
            await isKilled(0);
            await starts(0);
        }
        for (const device of [phone, laptop]) {
            for (const [event, body] of said) await device.deciphers(room, event, body);
        }
        await everybodyReads(room, phone, laptop, bobs);
    });

    test("a device that was added while the other server was away is known when that is back", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob", otherUrl)];
        const [phone, bobs] = [await keeper(alice, "phone"), await keeper(bob, "phone")];
        const room = await phone.createsSecret("Added", bobs);
        bobs.bears();
        await isKilled(1);
        const laptop = await keeper(alice, "laptop");
        await starts(1);
        await bobs.seesDevices(alice, phone, laptop);
        const both = await bobs.says(room, "to both");
        for (const device of [phone, laptop]) await device.deciphers(room, both, "to both");
        await everybodyReads(room, phone, laptop, bobs);
    });
});
