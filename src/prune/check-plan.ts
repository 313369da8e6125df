import { z } from 'zod';
import { ProvisionerError } from '../errors.js';
import { type ImageId, isDigest, type LayerId } from '../image/digest.js';
import { mapUnhurried } from '../unhurried.js';
import type { PrunePlan } from './plan.js';

const digest = z.custom<ImageId & LayerId>((value) => typeof value === 'string' && isDigest(value), 'is no digest');

/** Without what is in the lists: each of those is checked by itself, because they may be long. */
const PLAN = z.strictObject({
  version: z.literal(1),
  madeAt: z.number(),
  images: z.array(z.unknown()),
  layers: z.array(z.unknown()),
  bytes: z.number(),
});
const IMAGE = z.strictObject({ id: digest, names: z.array(z.string()), lastUsedAt: z.number() });
const LAYER = z.strictObject({ id: digest, bytes: z.number() });

/** Checks a plan that comes from outside. Gives others turns. @throws ProvisionerError `ERR_BAD_OPTION` */
export async function checkPlan(value: unknown): Promise<PrunePlan> {
  const plan = checked(PLAN, value, []);
  return {
    ...plan,
    images: await mapUnhurried(plan.images.entries(), ([at, image]) => checked(IMAGE, image, ['images', at])),
    layers: await mapUnhurried(plan.layers.entries(), ([at, layer]) => checked(LAYER, layer, ['layers', at])),
  };
}

/** @param place of the value in the plan */
function checked<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  place: readonly PropertyKey[],
): z.output<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const path = [...place, ...(issue?.path ?? [])];
  const where = path.length === 0 ? '' : ` at ${path.join('.')}`;
  throw new ProvisionerError('ERR_BAD_OPTION', `not a plan of a prune${where}: ${issue?.message ?? 'malformed'}`, {
    hint: 'make one with `provisioner prune --dry-run --plan FILE`',
  });
}
