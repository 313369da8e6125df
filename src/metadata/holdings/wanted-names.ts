import { ProvisionerError } from '../../base/errors.js';
import type { HoldingRecord, WantedHolding } from './holding-records.js';

/**
 * Chooses what of a wish is to be had.
 * @param find what somebody has of that name
 * @returns the names; or who has what would be needed
 */
export function chosenNames(
  { names, count = names.length }: WantedHolding,
  find: (name: string) => HoldingRecord | undefined,
): { readonly names: readonly string[] } | { readonly held: readonly HoldingRecord[] } {
  const chosen: string[] = [];
  const held: HoldingRecord[] = [];
  for (const name of names) {
    if (chosen.length === count) break;
    const other = find(name);
    if (other === undefined) chosen.push(name);
    else held.push(other);
  }
  return chosen.length === count ? { names: chosen } : { held };
}

/** Holds the wishes of one call against each other: one that is met takes nothing that another one wants. @throws ProvisionerError `ERR_BAD_OPTION` */
export function requireOnce(wanted: readonly WantedHolding[]): void {
  const seen = new Map<string, Set<string>>();
  for (const { kind, names } of wanted) {
    const ofKind = seen.get(kind) ?? new Set();
    seen.set(kind, ofKind);
    for (const name of names) {
      if (ofKind.has(name)) {
        throw new ProvisionerError('ERR_BAD_OPTION', `the ${kind} ${JSON.stringify(name)} is wanted twice`, {
          hint: 'ask for it once',
          details: { kind, name },
        });
      }
      ofKind.add(name);
    }
  }
}
