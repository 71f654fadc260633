import { describe, test } from "node:test";
import { EventType, Preset } from "matrix-js-sdk";
import { agree } from "../scene/word.js";
import { newGuest, newUser, refused } from "../scene/user.js";

describe("guests", { concurrency: true }, () => {
    test("a guest looks around and takes part", async (t) => {
        const alice = await newUser(t, "alice");
        const phone = await alice.logsIn("phone");
        const guests = { type: EventType.RoomGuestAccess, content: { guest_access: "can_join" } };
        const open = await phone.creates({ name: "Guests are welcome", preset: Preset.PublicChat, initial_state: [guests] });
        const closed = await phone.creates({ name: "Guests are not welcome", preset: Preset.PublicChat });

        const guest = await newGuest(t);
        await refused("a guest where guests are not welcome", guest.client.joinRoom(closed), 403, "M_GUEST_ACCESS_FORBIDDEN", "M_FORBIDDEN");
        await refused("a guest makes a room", guest.client.createRoom({}), 403, "M_GUEST_ACCESS_FORBIDDEN");
        await guest.joins(open);
        await phone.seesMember(open, guest.user, "join");
        await phone.seesEvents(open, await guest.says(open, "hello, I am new"));
        await guest.seesEvents(open, await phone.says(open, "welcome"));
        await agree(open, phone, guest);

        await phone.client.sendStateEvent(open, EventType.RoomGuestAccess, { guest_access: "forbidden" }, "");
        await guest.seesItself(open, "leave");
        await agree(open, phone);
    });
});
