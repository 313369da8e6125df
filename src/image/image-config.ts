import { foldKeys } from '../base/fold-keys.js';
import { type Healthcheck, healthcheckOf } from './healthcheck.js';
import { machinePlatform, normalisePlatform, type Platform } from './platform.js';

const CONFIG_KEYS = ['os', 'architecture', 'variant', 'created', 'config', 'rootfs'] as const;
/** Of the section `config`. */
const RUNTIME_KEYS = [
  'Env',
  'Entrypoint',
  'Cmd',
  'User',
  'WorkingDir',
  'Labels',
  'StopSignal',
  'Volumes',
  'Healthcheck',
] as const;
const ROOTFS_KEYS = ['type', 'diff_ids'] as const;

/** What a container runtime needs of an image config. @see OCI image-spec, config.md, "config" */
export interface RuntimeConfig {
  /** `NAME=value`, in the image's order. */
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  /** `user`, `uid`, `user:group`, …; empty for root. */
  readonly user: string;
  /** Absolute inside the rootfs; `/` when the image names none. */
  readonly workingDir: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Signal name or number; empty when the image names none. */
  readonly stopSignal: string;
  /** Absolute paths that the image's maker wants to be directories for data; each once, in the image's order. */
  readonly volumes: readonly string[];
  /** How somebody finds out whether its program does what it is there for; not there when the image does not say. */
  readonly healthcheck?: Healthcheck;
}

type Text = string | null | undefined;
/** Docker takes a command that is one text for a list of it alone. */
type Command = string | readonly Text[] | null | undefined;

/**
 * The part of an image config that this project reads, as its maker wrote it; `imageConfigSchema` checks it. Programs written in Go write what they lack as
 * null, and read null as if it were not there.
 */
export interface ImageConfig {
  readonly os?: Text;
  readonly architecture?: Text;
  readonly variant?: Text;
  readonly created?: Text;
  readonly config?:
    | {
        readonly Env?: readonly Text[] | null | undefined;
        readonly Entrypoint?: Command;
        readonly Cmd?: Command;
        readonly User?: Text;
        readonly WorkingDir?: Text;
        readonly Labels?: Readonly<Record<string, Text>> | null | undefined;
        readonly StopSignal?: Text;
        /** Its keys are paths; its values are empty objects. */
        readonly Volumes?: Readonly<Record<string, unknown>> | null | undefined;
        /** Of Docker alone: what cannot be read is as if it were not there. */
        readonly Healthcheck?: unknown;
      }
    | null
    | undefined;
  readonly rootfs: { readonly type?: Text; readonly diff_ids?: readonly string[] | null | undefined };
}

/** A config that was held against its schema when it was stored, with its keys as they should be written. @throws SyntaxError where it is damaged */
export function readStoredConfig(text: string): ImageConfig {
  const stored = JSON.parse(text) as ImageConfig;
  const document = foldKeys(stored, CONFIG_KEYS);
  const { config, rootfs } = document;
  return {
    ...document,
    ...(config && { config: foldKeys(config, RUNTIME_KEYS) }),
    ...(rootfs && { rootfs: foldKeys(rootfs, ROOTFS_KEYS) }),
  };
}

export function runtimeConfig(config: ImageConfig): RuntimeConfig {
  const section = config.config ?? {};
  const healthcheck = healthcheckOf(section.Healthcheck);
  return {
    env: textsOf(section.Env),
    entrypoint: textsOf(section.Entrypoint),
    cmd: textsOf(section.Cmd),
    user: section.User ?? '',
    workingDir: section.WorkingDir || '/',
    labels: Object.fromEntries(Object.entries(section.Labels ?? {}).map(([name, value]) => [name, value ?? ''])),
    stopSignal: section.StopSignal ?? '',
    // A relative one has no meaning that tools agree on.
    volumes: Object.keys(section.Volumes ?? {}).filter((path) => path.startsWith('/')),
    ...(healthcheck && { healthcheck }),
  };
}

/**
 * What the config says, and where it says nothing, what its index does, or else this machine: then nothing contradicts it. Configs often leave out the
 * variant that their index states; without it, ARM v6 code would pass for v7.
 * @param declared what an index says of the image
 */
export function configPlatform(config: ImageConfig, declared?: Platform): Platform {
  const { os, architecture, variant } = config;
  const other = declared ?? machinePlatform();
  const stated = normalisePlatform({
    os: os || other.os,
    architecture: architecture || other.architecture,
    ...(variant ? { variant } : {}),
  });
  if (variant || (architecture && declared === undefined)) return stated;
  return stated.os === other.os && stated.architecture === other.architecture ? other : stated;
}

function textsOf(list: Command): string[] {
  if (typeof list === 'string') return list === '' ? [] : [list];
  return (list ?? []).map((text) => text ?? '');
}
