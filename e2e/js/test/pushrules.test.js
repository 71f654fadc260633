import { describe, test } from "node:test";
import { ConditionKind, PushRuleActionName, PushRuleKind, TweakName } from "matrix-js-sdk";
import { agree } from "../scene/word.js";
import { newUser } from "../scene/user.js";

describe("push rules", { concurrency: true }, () => {
    test("a push rule is made, and has its effect on all devices", async (t) => {
        const [alice, bob] = [await newUser(t, "alice"), await newUser(t, "bob")];
        const [phone, laptop, bobs] = [await alice.logsIn("phone"), await alice.logsIn("laptop"), await bob.logsIn("phone")];
        const room = await phone.createsWith("Keywords", bobs);
        const rule = (device, kind, id) => device.client.pushRules.global[kind].find((r) => r.rule_id === id);
        const loud = [PushRuleActionName.Notify, { set_tweak: TweakName.Highlight }];

        // hears is what a message of bob does to the counts of a room where all was read. What becomes
        // of events from before a change, when the rules change, is for the server to say.
        const hears = async (body, ...counts) => {
            const said = await bobs.says(room, body);
            for (const device of [phone, laptop]) {
                await device.seesEvents(room, said);
                await device.seesUnread(room, ...counts);
            }
            await phone.reads(room, said);
            for (const device of [phone, laptop]) await device.seesUnread(room, 0, 0);
        };

        await phone.client.addPushRule("global", PushRuleKind.ContentSpecific, "cheese", { pattern: "cheese", actions: loud });
        await laptop.until("the rule", () => rule(laptop, "content", "cheese")?.enabled);
        await hears("there is cheese", 1, 1);
        await phone.client.setPushRuleEnabled("global", PushRuleKind.ContentSpecific, "cheese", false);
        await laptop.until("that the rule is off", () => rule(laptop, "content", "cheese")?.enabled === false);
        await hears("there is more cheese", 1, 0);

        const conditions = [{ kind: ConditionKind.EventMatch, key: "room_id", pattern: room }];
        await phone.client.addPushRule("global", PushRuleKind.Override, room, { conditions, actions: [] });
        await laptop.until("that the room is muted", () => rule(laptop, "override", room)?.actions.length === 0);
        await hears("nobody hears this", 0, 0);
        await phone.client.setPushRuleActions("global", PushRuleKind.Override, room, loud);
        await laptop.until("that the room is loud", () => rule(laptop, "override", room)?.actions.length === 2);
        await hears("but this", 1, 1);

        await phone.client.deletePushRule("global", PushRuleKind.Override, room);
        await laptop.until("that the rule is gone", () => rule(laptop, "override", room) === undefined);
        await agree(room, bobs);
    });
});
