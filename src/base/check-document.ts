import {
  type BaseIssue,
  custom,
  type GenericSchema,
  type InferOutput,
  type ObjectEntries,
  object,
  pipe,
  record,
  safeParse,
  strictObject,
  string,
  transform,
} from 'valibot';
import { foldKeys } from './fold-keys.js';

/** Something in a document that is not as it must be. */
export interface Fault {
  /** Keys and indexes that lead to it from the document's root. */
  readonly path: readonly PropertyKey[];
  /** `expected string, found number`. Never the value itself: it may be a secret, or made to be misread. */
  readonly problem: string;
}

export type CheckedDocument<Output> =
  | { readonly sound: true; readonly value: Output }
  | { readonly sound: false; readonly faults: readonly [Fault, ...Fault[]] };

/** JSON's objects. An array would pass for one, and for an empty one where nothing is required. */
const jsonObject = custom<Record<string, unknown>>(
  (value) => kindOf(value) === 'object',
  ({ input }) => `expected object, found ${kindOf(input)}`,
);

/** An object with these entries, whatever the case of their names; others are left out. */
export const objectOf = <Entries extends ObjectEntries>(entries: Entries) => {
  const names = Object.keys(entries);
  return pipe(
    jsonObject,
    transform((document) => foldKeys(document, names)),
    object(entries),
  );
};

/** An object with these entries, named exactly so, and no others: where what is not known may not be passed over. */
export const strictObjectOf = <Entries extends ObjectEntries>(entries: Entries) =>
  pipe(jsonObject, strictObject(entries));

/** An object with any keys. */
export const recordOf = <Value extends GenericSchema>(value: Value) => pipe(jsonObject, record(string(), value));

/** Holds a parsed document against its schema. @returns what the schema makes of it, or all its faults */
export function checkDocument<Schema extends GenericSchema>(
  schema: Schema,
  document: unknown,
): CheckedDocument<InferOutput<Schema>> {
  const result = safeParse(schema, document);
  if (result.success) return { sound: true, value: result.output };
  const [first, ...others] = result.issues;
  return { sound: false, faults: [faultOf(first), ...others.map(faultOf)] };
}

/** `layers[0].digest: is missing`. */
export function describeFault({ path, problem }: Fault): string {
  const steps = path.map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`));
  return `${steps.join('').replace(/^\./, '') || 'the document'}: ${problem}`;
}

function faultOf(issue: BaseIssue<unknown>): Fault {
  return { path: (issue.path ?? []).map(({ key }) => key as PropertyKey), problem: problemOf(issue) };
}

function problemOf({ kind, type, input, expected, message }: BaseIssue<unknown>): string {
  if (input === undefined) return 'is missing';
  // Those have a text of their own in the schema.
  if (kind === 'validation' || type === 'custom') return message;
  if (expected === 'never') return 'is unknown';
  // Names of types, but not the texts that it may be.
  return `expected ${expected?.replace(/"[^"]*"|[A-Z]/g, (part) => (part.length > 1 ? part : part.toLowerCase()))}, found ${kindOf(input)}`;
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}
