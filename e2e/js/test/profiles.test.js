import assert from "node:assert/strict";
import { describe, test } from "node:test";
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
});
