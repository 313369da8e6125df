import { z } from 'zod';
import { ProvisionerError } from '../errors.js';
import type { ImageId, LayerId } from '../image/digest.js';
import { isDigest } from '../image/digest.js';
import type { Decision } from './decide.js';

/** What a prune would take, to be looked at, kept in a file, and carried out later. */
export interface PrunePlan {
  readonly version: 1;
  /** Milliseconds since the epoch. */
  readonly madeAt: number;
  readonly images: readonly { readonly id: ImageId; readonly names: readonly string[]; readonly lastUsedAt: number }[];
  readonly layers: readonly { readonly id: LayerId; readonly bytes: number }[];
  /** What it frees. */
  readonly bytes: number;
}

const digest = z.custom<ImageId & LayerId>((value) => typeof value === 'string' && isDigest(value), 'is no digest');

const SCHEMA = z.strictObject({
  version: z.literal(1),
  madeAt: z.number(),
  images: z.array(z.strictObject({ id: digest, names: z.array(z.string()), lastUsedAt: z.number() })),
  layers: z.array(z.strictObject({ id: digest, bytes: z.number() })),
  bytes: z.number(),
});

export function makePlan(decision: Decision, now: number): PrunePlan {
  const images = decision.images.filter((image) => image.reasons.length === 0);
  const layers = decision.layers.filter((layer) => layer.reasons.length === 0);
  return {
    version: 1,
    madeAt: now,
    images: images.map(({ id, names, lastUsedAt }) => ({ id, names, lastUsedAt })),
    layers: layers.map(({ id, bytes }) => ({ id, bytes })),
    bytes: layers.reduce((sum, layer) => sum + layer.bytes, 0),
  };
}

/** Checks a plan that comes from outside. @throws ProvisionerError `ERR_BAD_OPTION` */
export function checkPlan(value: unknown): PrunePlan {
  const parsed = SCHEMA.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const where = issue === undefined || issue.path.length === 0 ? '' : ` at ${issue.path.join('.')}`;
  throw new ProvisionerError('ERR_BAD_OPTION', `not a plan of a prune${where}: ${issue?.message ?? 'malformed'}`, {
    hint: 'make one with `provisioner prune --dry-run --plan FILE`',
  });
}
