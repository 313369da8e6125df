import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { buildImage } from '../../native-free-tests/helpers/image-builder.js';
import { startRegistry } from '../helpers/registry.js';
import { temporaryDirectory } from '../helpers/test-store.js';
import { startTokenServer, type TokenServer } from '../helpers/token-server.js';

/** A file as `docker login` writes it. @returns its path */
export function authFile(content: unknown): string {
  const path = join(temporaryDirectory(), 'auth.json');
  writeFileSync(path, JSON.stringify(content));
  return path;
}

/** As it stands in such a file and in headers. */
export const encoded = (name: string, password: string) => Buffer.from(`${name}:${password}`).toString('base64');

/** A credential helper that knows one registry. @returns a directory to be in `PATH` */
export function makeHelper(
  name: string,
  host: string,
  answer: { readonly Username: string; readonly Secret: string },
): string {
  const bin = temporaryDirectory();
  const helper = join(bin, `docker-credential-${name}`);
  writeFileSync(
    helper,
    `#!/bin/sh\n[ "$1" = get ] || exit 2\nread -r key\n[ "$key" = "${host}" ] || { echo 'credentials not found in native keychain'; exit 1; }\n` +
      `cat <<'END'\n${JSON.stringify({ ServerURL: host, ...answer })}\nEND\n`,
  );
  chmodSync(helper, 0o755);
  return bin;
}

/** A registry that wants tokens, with the image as `team/app:v1` and `team/other:v1`. */
export async function startTokenRegistry(
  image: ReturnType<typeof buildImage>,
): Promise<{ readonly tokens: TokenServer; readonly host: string }> {
  const tokens = await startTokenServer();
  const open = await startRegistry();
  for (const name of ['app', 'other']) await open.push(`team/${name}`, 'v1', image);
  await open.stop();
  // The same storage behind token authentication: pushing is none of what is tested here.
  const registry = await startRegistry({ token: tokens.settings, storageOf: open });
  return { tokens, host: registry.host };
}
