import * as v from 'valibot';
import { checkDocument } from '../base/check-document.js';
import { ProvisionerError } from '../base/errors.js';
import { mapUnhurried } from '../base/unhurried.js';
import { type ImageId, isDigest, type LayerId } from '../image/digest.js';
import type { PrunePlan } from './plan.js';

const digest = v.custom<ImageId & LayerId>((value) => typeof value === 'string' && isDigest(value), 'is no digest');

/** Without what is in the lists: each of those is checked by itself, because they may be long. */
const PLAN = v.strictObject({
  version: v.literal(1),
  madeAt: v.number(),
  images: v.array(v.unknown()),
  layers: v.array(v.unknown()),
  bytes: v.number(),
});
const IMAGE = v.strictObject({ id: digest, names: v.array(v.string()), lastUsedAt: v.number() });
const LAYER = v.strictObject({ id: digest, bytes: v.number() });

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
function checked<Schema extends v.GenericSchema>(
  schema: Schema,
  document: unknown,
  place: readonly PropertyKey[],
): v.InferOutput<Schema> {
  const checked = checkDocument(schema, document);
  if (checked.sound) return checked.value;
  const [fault] = checked.faults;
  const path = [...place, ...fault.path];
  const where = path.length === 0 ? '' : ` at ${path.join('.')}`;
  throw new ProvisionerError('ERR_BAD_OPTION', `not a plan of a prune${where}: ${fault.problem}`, {
    hint: 'make one with `provisioner prune --dry-run --plan FILE`',
  });
}
