import { normalisePlatform, type Platform } from './platform.js';

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
}

/** The part of an image config that this project reads; `imageConfigSchema` in `manifest.ts` checks it. */
export interface ImageConfig {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string | undefined;
  readonly created?: string | undefined;
  readonly config?:
    | {
        readonly Env?: readonly string[] | null | undefined;
        readonly Entrypoint?: readonly string[] | null | undefined;
        readonly Cmd?: readonly string[] | null | undefined;
        readonly User?: string | undefined;
        readonly WorkingDir?: string | undefined;
        readonly Labels?: Readonly<Record<string, string>> | null | undefined;
        readonly StopSignal?: string | undefined;
      }
    | null
    | undefined;
  readonly rootfs: { readonly type: string; readonly diff_ids: readonly string[] };
}

export function runtimeConfig(config: ImageConfig): RuntimeConfig {
  const section = config.config ?? {};
  return {
    env: section.Env ?? [],
    entrypoint: section.Entrypoint ?? [],
    cmd: section.Cmd ?? [],
    user: section.User ?? '',
    workingDir: section.WorkingDir || '/',
    labels: section.Labels ?? {},
    stopSignal: section.StopSignal ?? '',
  };
}

export function configPlatform(config: ImageConfig): Platform {
  const { os, architecture, variant } = config;
  return normalisePlatform({ os, architecture, ...(variant ? { variant } : {}) });
}
