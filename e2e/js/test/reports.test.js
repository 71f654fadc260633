import { describe, test } from "node:test";
import { agree } from "../scene/word.js";
import { newUser, refused } from "../scene/user.js";

describe("reports", { concurrency: true }, () => {
    test("what is out of order is reported", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob")];
        const [phone, bobs] = [await alice.logsIn("phone"), await bob.logsIn("phone")];
        const room = await phone.createsWith("Orderly", bobs);
        const rude = await bobs.says(room, "something rude");
        await phone.seesEvents(room, rude);
        await phone.client.reportEvent(room, rude, -100, "it is rude");
        await phone.client.reportRoom(room, "it is full of bob");
        const carols = await (await newUser(t, "carol")).logsIn("phone");
        await refused("carol reports what she cannot see", carols.client.reportEvent(room, rude, -100, "gossip"), 404, "M_NOT_FOUND");
        await agree(room, phone, bobs);
    });
});
