// Which Chromium there is: the one that PARLEY_E2E_CHROMIUM names, or that of the
// npm package @sparticuz/chromium, which runs on Linux with x86-64 and brings the
// libraries that a bare system lacks, or one that is installed.

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const installed = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"];
const cache = fileURLToPath(new URL("../node_modules/.cache", import.meta.url));

// findChromium returns { executablePath, env }, which is how to start it, or
// { without }, which tells why there is none.
export async function findChromium() {
    const named = process.env.PARLEY_E2E_CHROMIUM;
    const paths = named ? [named] : installed.map(inPath).filter(Boolean);
    const candidates = paths.map((executablePath) => ({ executablePath, env: process.env }));
    if (!named && process.platform === "linux" && process.arch === "x64") candidates.unshift(await packaged());
    const tried = [];
    for (const { executablePath, env } of candidates) {
        try {
            await promisify(execFile)(executablePath, ["--version", "--no-sandbox"], { env });
            return { executablePath, env };
        } catch (e) {
            tried.push(e.message.trim().split("\n").at(-1));
        }
    }
    return { without: `no Chromium runs here. PARLEY_E2E_CHROMIUM can name one; Debian's is chromium-headless-shell. ${tried.join("; ")}` };
}

function inPath(name) {
    return process.env.PATH.split(delimiter).map((dir) => join(dir, name)).find(existsSync);
}

// packaged is the package's. It is unpacked once for each version.
async function packaged() {
    const bin = fileURLToPath(new URL("../node_modules/@sparticuz/chromium/bin", import.meta.url));
    const { version } = JSON.parse(await readFile(join(bin, "../package.json")));
    const dir = join(cache, `chromium-${version}`);
    if (!existsSync(dir)) {
        await mkdir(cache, { recursive: true });
        const unpacked = await mkdtemp(join(cache, "unpacking-"));
        await unpack(bin, unpacked);
        await rename(unpacked, dir).catch((e) => {
            if (!existsSync(dir)) throw e; // otherwise somebody else was faster
        });
    }
    const paths = [join(dir, "al2023", "lib"), process.env.LD_LIBRARY_PATH].filter(Boolean);
    return { executablePath: join(dir, "chromium"), env: { ...process.env, LD_LIBRARY_PATH: paths.join(":"), FONTCONFIG_PATH: join(dir, "fonts") } };
}

// unpack is the package's own, which goes to the directory for temporary files.
async function unpack(bin, dir) {
    const { inflate } = await import("@sparticuz/chromium");
    const before = process.env.TMPDIR;
    process.env.TMPDIR = dir;
    try {
        await Promise.all(["chromium.br", "fonts.tar.br", "swiftshader.tar.br", "al2023.tar.br"].map((name) => inflate(join(bin, name))));
    } finally {
        if (before === undefined) delete process.env.TMPDIR;
        else process.env.TMPDIR = before;
    }
}
