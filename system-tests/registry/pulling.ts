import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { Provisioner, ProvisionerError } from '#src/index.js';
import { mountsBelow } from '#src/system/syscalls/mounts/mount-table.js';
import { buildImage, buildLayer } from '../../native-free-tests/helpers/image-builder.js';

/** An image with one layer of some bytes that cannot be compressed, so that it can be broken anywhere. */
export function largeImage(bytes: number) {
  const content = randomBytes(bytes);
  const layer = buildLayer([{ path: 'large', content }]);
  return { image: buildImage([layer]), layer, content };
}

/** Waits for a pull to fail, and for everything of it to be gone. */
export async function failedPull(p: Provisioner, pull: Promise<unknown>): Promise<ProvisionerError> {
  const error = await pull.then(
    () => undefined,
    (reason: unknown) => reason as ProvisionerError,
  );
  expect(error, 'the pull was to fail').toBeDefined();
  await expectNothingLeft(p);
  return error as ProvisionerError;
}

/** No layer, nothing staged, nothing that waits to be swept. */
export async function expectNothingLeft(p: Provisioner): Promise<void> {
  // The sweep goes on behind the failure, and takes as long as the machine lets it.
  await expect
    .poll(() => ['layers', 'staging', 'gc'].flatMap((name) => readdirSync(join(p.root, name))), { timeout: 15_000 })
    .toEqual([]);
  expect(await p.images.list()).toEqual([]);
  expect(mountsBelow(p.root)).toEqual([]);
}
