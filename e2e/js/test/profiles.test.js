import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ClientEvent } from "matrix-js-sdk";
import { newUser } from "../scene/user.js";

describe("profiles", { concurrency: true }, () => {
    test("a profile has more than a name", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob")];
        const [phone, bobs] = [await alice.logsIn("phone"), await bob.logsIn("phone")];
        assert.ok(await phone.client.doesServerSupportExtendedProfiles());
        await phone.client.setDisplayName("Alice");
        await phone.client.setExtendedProfileProperty("m.tz", "Europe/London");
        await phone.client.setExtendedProfileProperty("org.example.pets", { cats: 2 });
        assert.deepEqual(await bobs.client.getExtendedProfile(alice.id), { displayname: "Alice", "m.tz": "Europe/London", "org.example.pets": { cats: 2 } });
        assert.deepEqual(await bobs.client.getExtendedProfileProperty(alice.id, "org.example.pets"), { cats: 2 });
        await phone.client.deleteExtendedProfileProperty("m.tz");
        assert.equal(await bobs.client.getExtendedProfileProperty(alice.id, "m.tz"), undefined);
    });

    test("a device that asks for fields is told what becomes of them", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob")];
        const [phone, plain] = [await alice.logsIn("phone"), await bob.logsIn("plain")];
        await phone.client.setExtendedProfileProperty("m.tz", "Europe/London");
        await phone.client.setExtendedProfileProperty("org.example.secret", "nobody asks for it");
        const room = await phone.createsWith("together", plain);
        const tab = await bob.logsIn("tab", { unstableMSC4429SyncUserProfileFields: ["m.tz", "org.example.pets"] });
        const known = (user) => tab.client.store.getUserProfile(user.id);
        assert.deepEqual(await known(alice), { "m.tz": "Europe/London" }, "at first");

        const told = [];
        tab.client.on(ClientEvent.UserProfileUpdate, (user, fields) => told.push([user, fields]));
        plain.client.on(ClientEvent.UserProfileUpdate, () => assert.fail("it did not ask"));
        await phone.client.setExtendedProfileProperty("org.example.pets", { cats: 2 });
        await tab.until("the cats", () => told.length === 1);
        await phone.client.deleteExtendedProfileProperty("m.tz");
        await tab.until("the time zone being gone", () => told.length === 2);
        assert.deepEqual(told, [[alice.id, { "org.example.pets": { cats: 2 } }], [alice.id, { "m.tz": null }]]);
        assert.deepEqual(await known(alice), { "m.tz": null, "org.example.pets": { cats: 2 } });
        await plain.client.setExtendedProfileProperty("m.tz", "UTC");
        await tab.until("what the other device has set", () => told.length === 3);
        assert.deepEqual(await known(bob), { "m.tz": "UTC" });
        await tab.seesEvents(room, await phone.says(room, "hello"));
    });
});
