// Two pages that meet by the QR code which one shows and the other scans, as people
// do to log in: https://github.com/matrix-org/matrix-spec-proposals/pull/4108

import { QrCodeData, QrCodeIntent } from "@matrix-org/matrix-sdk-crypto-wasm";
import { MSC4108RendezvousSession, MSC4108SecureChannel } from "matrix-js-sdk/lib/rendezvous/index.js";

// shown is the content of a QR code, and the channel to who scans it.
export async function shown(url) {
    const session = new MSC4108RendezvousSession({ fallbackRzServer: `${url}/_matrix/client/unstable/org.matrix.msc4108/rendezvous` });
    await session.send("");
    const channel = new MSC4108SecureChannel(session);
    return { code: await channel.generateCode(QrCodeIntent.Login), channel };
}

// scanned is the channel to who shows a code.
export function scanned(code) {
    const { rendezvousUrl: url, publicKey } = QrCodeData.fromBytes(code);
    return new MSC4108SecureChannel(new MSC4108RendezvousSession({ url }), publicKey);
}
