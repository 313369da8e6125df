import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect } from 'vitest';
import { isProvisionerError, type ProvisionerError } from '#src/base/errors.js';
import { parsePlatform } from '#src/image/platform.js';
import type { Offer } from '#src/sources/puller.js';
import { buildImage, buildLayer, type Image } from '../helpers/image-builder.js';

export const AMD64 = parsePlatform('linux/amd64');
export const ARM64 = parsePlatform('linux/arm64');
export const ARM_V7 = parsePlatform('linux/arm/v7');

/** A directory of each test's own, gone afterwards. */
export function useDirectory(): { readonly path: string; readonly staging: string; join(name: string): string } {
  let path = '';
  beforeEach(async () => {
    path = await mkdtemp(join(tmpdir(), 'provisioner-pull-'));
  });
  afterEach(async () => {
    await rm(path, { recursive: true, force: true });
  });
  return {
    get path() {
      return path;
    },
    get staging() {
      return join(path, 'staging');
    },
    join: (name) => join(path, name),
  };
}

/** The error of our own that `action` must end with. */
export async function failure(action: Promise<unknown> | (() => unknown)): Promise<ProvisionerError> {
  try {
    await (typeof action === 'function' ? action() : action);
  } catch (error) {
    if (isProvisionerError(error)) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

/** An image of its own for each label: nothing in common but the base. */
export function labelledImage(label: string, platform = 'linux/amd64', base = 'base'): Image {
  const layers = [base, label].map((name) => buildLayer([{ path: `${name}.txt`, content: name }]));
  return buildImage(layers, { platform: parsePlatform(platform), config: { Labels: { label } } });
}

/** What the images of an offer are labelled, and the offer closed. */
export async function labelsOf(opening: Promise<Offer>): Promise<string[]> {
  const offer = await opening;
  await offer.close();
  return offer.images.map((image) => JSON.parse(image.config).config.Labels.label as string);
}

export async function expectEmpty(directory: string): Promise<void> {
  const names = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  expect(names).toEqual([]);
}

/** `toEqual` looks at each byte by itself, which takes seconds. */
export function expectSame(found: Buffer, wanted: Buffer): void {
  expect(found.length).toBe(wanted.length);
  expect(found.equals(wanted)).toBe(true);
}
