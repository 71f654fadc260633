import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ClientEvent } from "matrix-js-sdk";
import { everybodyReads, keeper, slider, sliding } from "../scene/keeper.js";
import { ends, isKilled, starts, without } from "../scene/servers.js";
import { stranger, withoutStrangers } from "../scene/stranger.js";
import { baseUrl, newUser, otherUrl } from "../scene/user.js";
import { moments, wire } from "../scene/wire.js";
import { agree } from "../scene/word.js";

// These stop the servers, so they are played one after the other, and with no
// other scene beside them.
describe("encryption while servers go", { skip: without }, () => {
    for (const [how, goes, logsIn] of [["ends", ends, keeper], ["is killed", isKilled, keeper], ["of sliding sync is killed", isKilled, slider]]) {
        test(`what is said while a server ${how} is read when it is back`, async (t) => {
            const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob", otherUrl)];
            const [phone, bobs] = [await logsIn(alice, "phone"), await logsIn(bob, "phone")];
            const room = await phone.createsSecret("Down", bobs);
            const hello = await bobs.says(room, "hello");
            await phone.deciphers(room, hello, "hello");

            bobs.bears();
            await goes(1);
            await phone.discards(room); // the key has to wait too
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
            await bobs.discards(room);
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

    // Each of the three has another moment for each of the requests.
    for (const [turn, [over, logsIn]] of [["sync", keeper], ["sliding sync", slider], ["another SDK", stranger]].entries()) {
        const skip = logsIn === stranger && withoutStrangers;
        test(`no key is lost by servers that are killed in between, over ${over}`, { skip }, async (t) => {
            const [here, there] = [await wire(t, baseUrl, 0), await wire(t, otherUrl, 1)];
            const [alice, bob] = [await newUser(t, "alice", here.url), await newUser(t, "bob", there.url)];
            const [phone, bobs] = [await keeper(alice, "phone"), await logsIn(bob, "phone")];
            const room = await phone.createsSecret("In between", bobs);
            await phone.deciphers(room, await bobs.says(room, "hello"), "hello"); // mautrix-go asks for devices when it speaks
            const laptop = await here.cuts("/keys/upload", moments[turn], () => keeper(alice, "laptop"));
            for (const device of [phone, bobs]) await device.seesDevices(alice, phone, laptop);

            const said = new Map();
            for (const [i, [cut, path, device]] of [
                [here, "/keys/claim", phone], [there, "/keys/claim", bobs], [here, "/sendToDevice/", phone], [there, "/sendToDevice/", bobs],
                [here, "/send/", phone], [there, "/send/", bobs], [here, "/sync", bobs], [there, "/sync", phone],
            ].entries()) {
                await device.discards(room);
                const moment = moments[(turn + i) % moments.length];
                const body = `${path} of ${device.who}, ${moment}`;
                said.set(await cut.cuts(path, moment, () => device.says(room, body)), body);
            }
            for (const device of [phone, laptop, bobs]) for (const [event, body] of said) await device.deciphers(room, event, body);
            await agree(room, laptop); // which was not there from the beginning

            laptop.fallsAsleep();
            await here.cuts("/logout", moments[turn], () => laptop.client.logout().catch(() => {})); // who asks again is nobody any more
            for (const device of [phone, bobs]) await device.seesDevices(alice, phone);
            await phone.deciphers(room, await bobs.says(room, "to one less"), "to one less");
            await everybodyReads(room, phone);
        });
    }

    test("no key is lost by servers that are killed at the same time, while everybody speaks", async (t) => {
        const [here, there] = [await wire(t, baseUrl, 0), await wire(t, otherUrl, 1)];
        const [alice, bob] = [await newUser(t, "alice", here.url), await newUser(t, "bob", there.url)];
        const [alices, bobs] = [[await keeper(alice, "phone")], [await slider(bob, "phone")]];
        const room = await alices[0].createsSecret("At once", bobs[0]);
        for (const moment of moments) {
            const tablets = await Promise.all([
                here.cuts("/keys/upload", moment, () => slider(alice, "tablet")), there.cuts("/keys/upload", moment, () => keeper(bob, "tablet")),
            ]);
            alices.push(tablets[0]);
            bobs.push(tablets[1]);
            for (const device of [...alices, ...bobs]) {
                await device.seesDevices(alice, ...alices);
                await device.seesDevices(bob, ...bobs);
            }
            const said = new Map();
            const speak = (devices, about) => Promise.all(devices.slice(-2).map(async (device) => {
                const body = `${about} of ${device.who}, ${moment}`;
                await device.discards(room);
                said.set(await device.says(room, body), body);
            }));
            for (const path of ["/keys/claim", "/sendToDevice/", "/sync"]) {
                await Promise.all([here.cuts(path, moment, () => speak(alices, path)), there.cuts(path, moment, () => speak(bobs, path))]);
            }
            for (const device of [...alices, ...bobs]) for (const [event, body] of said) await device.deciphers(room, event, body);
        }
        await agree(room, ...alices, ...bobs);
        await everybodyReads(room, alices[0], bobs[0]);
    });

    test("what is said to devices comes once, and in order", async (t) => {
        const [here, there] = [await wire(t, baseUrl, 0), await wire(t, otherUrl, 1)];
        const [alice, bob] = [await newUser(t, "alice", here.url), await newUser(t, "bob", there.url)];
        const [phone, tablet] = [await alice.logsIn("phone"), await bob.logsIn("tablet", sliding)];
        const [said, heard] = [new Map([[phone, []], [tablet, []]]), new Map([[phone, []], [tablet, []]])];
        for (const [device, list] of heard) device.client.on(ClientEvent.ToDeviceEvent, (e) => list.push(e.getContent().number));
        const says = async (from, to) => {
            for (let i = 0; i < 10; i++) {
                const number = said.get(to).length;
                said.get(to).push(number);
                await from.client.sendToDevice("org.example.number", new Map([[to.user.id, new Map([[to.login.device_id, { number }]])]]));
            }
        };
        for (const path of ["/sendToDevice/", "/sync"]) {
            for (const moment of moments) {
                await Promise.all([here.cuts(path, moment, () => says(phone, tablet)), there.cuts(path, moment, () => says(tablet, phone))]);
            }
        }
        for (const device of [phone, tablet]) {
            await device.until("all that was said", () => heard.get(device).length >= said.get(device).length);
            assert.deepEqual(heard.get(device), said.get(device), device.who);
        }
    });
});
