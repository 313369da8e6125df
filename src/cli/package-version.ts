import { createRequire } from 'node:module';

/** This program's version, as its `package.json` says, which is found by the package's name, wherever this file has come to. */
export function packageVersion(): string {
  const { version } = createRequire(import.meta.url)('provisioner/package.json') as { readonly version: string };
  return version;
}
