import { ProvisionerError } from '../base/errors.js';

/** Where an image runs, in Go's words (`linux/arm64/v8`). @see OCI image-spec, image-index.md, "platform" */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  /** CPU variant, such as `v7` for 32-bit ARM. Default: none. */
  readonly variant?: string;
}

const GO_ARCHITECTURES: Readonly<Record<string, string>> = {
  x64: 'amd64',
  ia32: '386',
  arm64: 'arm64',
  arm: 'arm',
  ppc64: 'ppc64le',
  s390x: 's390x',
  riscv64: 'riscv64',
  loong64: 'loong64',
  mips: 'mips',
  mipsel: 'mipsle',
};

/** Other spellings that people type. */
const ALIASES: Readonly<Record<string, { architecture: string; variant?: string }>> = {
  x86_64: { architecture: 'amd64' },
  'x86-64': { architecture: 'amd64' },
  i386: { architecture: '386' },
  i686: { architecture: '386' },
  aarch64: { architecture: 'arm64' },
  armhf: { architecture: 'arm', variant: 'v7' },
  armel: { architecture: 'arm', variant: 'v6' },
};

/** The platform whose images this machine runs. Containers are Linux ones, whatever the host. */
export function machinePlatform(architecture: string = process.arch): Platform {
  return normalisePlatform({ os: 'linux', architecture: GO_ARCHITECTURES[architecture] ?? architecture });
}

/**
 * @param text `os/architecture[/variant]`, or an architecture alone (then Linux)
 * @throws ProvisionerError `ERR_BAD_PLATFORM`
 */
export function parsePlatform(text: string): Platform {
  const parts = text.toLowerCase().split('/');
  const wellFormed = parts.length <= 3 && parts.every((part) => /^[a-z0-9_.-]+$/.test(part));
  if (!wellFormed) {
    throw new ProvisionerError('ERR_BAD_PLATFORM', `not a platform: ${JSON.stringify(text)}`, {
      hint: 'write OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT, such as linux/arm64',
      details: { platform: text },
    });
  }
  const [first = '', architecture, variant] = parts;
  if (architecture === undefined) return normalisePlatform({ os: 'linux', architecture: first });
  return normalisePlatform({ os: first, architecture, ...(variant === undefined ? {} : { variant }) });
}

/** `linux/arm64`, `linux/arm/v7`. */
export function formatPlatform(platform: Platform): string {
  return [platform.os, platform.architecture, platform.variant].filter((part) => part !== undefined).join('/');
}

/** One spelling for each platform, in small letters: `arm64` means `v8`, `arm` means `v7`, `amd64` means `v1`, as containerd and Docker have it. */
export function normalisePlatform(platform: Platform): Platform {
  const written = platform.architecture.toLowerCase();
  const alias = Object.hasOwn(ALIASES, written) ? ALIASES[written] : undefined;
  const architecture = alias?.architecture ?? written;
  let variant = platform.variant?.toLowerCase() ?? alias?.variant;
  if (variant !== undefined && /^\d+$/.test(variant)) variant = `v${variant}`;
  if (architecture === 'arm64' && variant === 'v8') variant = undefined;
  if (architecture === 'amd64' && variant === 'v1') variant = undefined;
  if (architecture === 'arm' && variant === undefined) variant = 'v7';
  return { os: platform.os.toLowerCase(), architecture, ...(variant === undefined ? {} : { variant }) };
}

/**
 * How well an image for `offered` serves a machine of `wanted`: 0 not at all, else the higher the better.
 * A machine runs its own variant and the older ones of its family (an ARM v7 runs v6 and v5 code), never a newer one.
 */
export function platformFit(wanted: Platform, offered: Platform): number {
  const want = normalisePlatform(wanted);
  const offer = normalisePlatform(offered);
  if (want.os !== offer.os || want.architecture !== offer.architecture) return 0;
  if (want.variant === offer.variant) return 1000;
  const wantLevel = variantLevel(want);
  const offerLevel = variantLevel(offer);
  return offerLevel <= wantLevel ? 1 + offerLevel : 0;
}

/** An absent variant is the oldest of its family. */
function variantLevel(platform: Platform): number {
  const baseline = platform.architecture === 'arm64' ? 8 : 1;
  const level = Number(platform.variant?.match(/^v(\d+)/)?.[1] ?? baseline);
  return Math.min(level, 998);
}
