import { z } from 'zod';
import { ProvisionerError } from '../errors.js';
import { type ImageId, isDigest, type LayerId } from '../image/digest.js';
import type { PrunePlan } from './plan.js';

const digest = z.custom<ImageId & LayerId>((value) => typeof value === 'string' && isDigest(value), 'is no digest');

const SCHEMA = z.strictObject({
  version: z.literal(1),
  madeAt: z.number(),
  images: z.array(z.strictObject({ id: digest, names: z.array(z.string()), lastUsedAt: z.number() })),
  layers: z.array(z.strictObject({ id: digest, bytes: z.number() })),
  bytes: z.number(),
});

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
