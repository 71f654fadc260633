import { describe, test } from "node:test";
import { everybodyReads, keeper } from "../scene/keeper.js";
import { agree } from "../scene/word.js";
import { newUser } from "../scene/user.js";

describe("encryption", { concurrency: true }, () => {
    test("two people talk in secret", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob")];
        const [phone, bobs] = [await keeper(alice, "phone"), await keeper(bob, "phone")];
        const room = await phone.createsSecret("Secret", bobs);
        const hello = await phone.says(room, "hello");
        await bobs.deciphers(room, hello, "hello");
        const reply = await bobs.replies(room, hello, "hello to you");
        await phone.deciphers(room, reply, "hello to you");
        await everybodyReads(room, phone, bobs);
        await agree(room, phone, bobs);
    });
});
