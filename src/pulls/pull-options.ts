import { Readable, Writable } from 'node:stream';
import {
  abortSignal,
  flag,
  limit,
  type OptionTable,
  oneOf,
  optionsOf,
  path,
  type Rule,
  text,
} from '../base/options/check-options.js';
import { REGISTRY_OPTIONS, type RegistryOptions } from '../registry/registry-options.js';

/** `missing`: pull what is not stored; `always`: ask the source in any case; `never`: only what is stored. */
export type PullPolicy = 'missing' | 'always' | 'never';

export const PULL_POLICY = oneOf('missing', 'always', 'never');

/** Of an image that nobody waits for. */
export interface ImageRequestOptions {
  /** The image is given this name. Default: the names that the source itself gives it. */
  readonly name?: string | undefined;
  /** `OS/ARCHITECTURE[/VARIANT]`. Default: this machine's, for Linux. */
  readonly platform?: string | undefined;
  /** How registries are reached; what is left out here is the provisioner's own. */
  readonly registry?: RegistryOptions | undefined;
  /** Overrides the limit of that name. */
  readonly maxImageBytes?: number | undefined;
  /** Pull even when that has just failed. Default: false for `request`; true where somebody waits. */
  readonly force?: boolean | undefined;
}

export const IMAGE_REQUEST_OPTIONS: OptionTable<ImageRequestOptions> = {
  name: text,
  platform: text,
  registry: optionsOf(REGISTRY_OPTIONS),
  maxImageBytes: limit,
  force: flag,
};

export interface PullImageOptions extends ImageRequestOptions {
  /** Default: `always`. A stored image that is pulled all the same costs one small request, and none when it is named by its digest. */
  readonly pullPolicy?: PullPolicy | undefined;
  readonly signal?: AbortSignal | undefined;
}

export const PULL_IMAGE_OPTIONS: OptionTable<PullImageOptions> = {
  ...IMAGE_REQUEST_OPTIONS,
  pullPolicy: PULL_POLICY,
  signal: abortSignal,
};

export interface LoadOptions {
  /** All images are given this name, so it is for an archive of one. Default: the names that the archive gives them. */
  readonly name?: string | undefined;
  /** `OS/ARCHITECTURE[/VARIANT]`. Default: this machine's, for Linux. */
  readonly platform?: string | undefined;
  /** Overrides the limit of that name, for each image of the archive. Layers count as large as they are there, mostly not compressed. */
  readonly maxImageBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A file's path, or a stream of any library. */
export const LOAD_INPUT: Rule = {
  meant: 'the path of an archive, or a stream of one',
  holds: (value) => path.holds(value) || isReadable(value),
};

/** Of any library; of Node's own, none that can only be written: nothing would ever come out of it. */
function isReadable(value: unknown): boolean {
  const { pipe, on } = (value ?? {}) as Partial<Readable>;
  const isWritable = value instanceof Writable && !(value instanceof Readable);
  return typeof pipe === 'function' && typeof on === 'function' && !isWritable;
}

export const LOAD_OPTIONS: OptionTable<LoadOptions> = {
  name: text,
  platform: text,
  maxImageBytes: limit,
  signal: abortSignal,
};
