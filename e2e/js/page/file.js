// Encrypted files, with the cryptography of the browser:
// https://spec.matrix.org/v1.19/client-server-api/#sending-encrypted-attachments

import assert from "node:assert/strict";
import { decodeBase64, encodeUnpaddedBase64 } from "matrix-js-sdk/lib/base64.js";

const { subtle } = crypto;
const AES = { name: "AES-CTR", length: 64 };
const hash = async (bytes) => encodeUnpaddedBase64(new Uint8Array(await subtle.digest("SHA-256", bytes)));

// sealed is the content encrypted, and what an event says of it, but for its URL.
export async function sealed(content) {
    const key = await subtle.generateKey({ name: "AES-CTR", length: 256 }, true, ["encrypt", "decrypt"]);
    const counter = new Uint8Array(16);
    crypto.getRandomValues(counter.subarray(0, 8));
    const bytes = await subtle.encrypt({ ...AES, counter }, key, content);
    const { kty, key_ops, alg, k, ext } = await subtle.exportKey("jwk", key);
    return { bytes, file: { v: "v2", key: { kty, key_ops, alg, k, ext }, iv: encodeUnpaddedBase64(counter), hashes: { sha256: await hash(bytes) } } };
}

// opened is the content that was sealed.
export async function opened(bytes, { key, iv, hashes }) {
    assert.equal(await hash(bytes), hashes.sha256, "the hash of an encrypted file");
    const imported = await subtle.importKey("jwk", key, "AES-CTR", false, ["decrypt"]);
    return subtle.decrypt({ ...AES, counter: decodeBase64(iv) }, imported, bytes);
}
