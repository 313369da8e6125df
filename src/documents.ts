import { type BaseIssue, type GenericSchema, type InferOutput, safeParse } from 'valibot';

/** Something in a document that is not as it must be. */
export interface Fault {
  /** Keys and indexes that lead to it from the document's root. */
  readonly path: readonly PropertyKey[];
  /** `expected string, found number`. Never the value itself: it may be a secret, or made to be misread. */
  readonly problem: string;
}

export type CheckedDocument<Output> =
  | { readonly value: Output; readonly faults: readonly [] }
  | { readonly value?: never; readonly faults: readonly [Fault, ...Fault[]] };

/** Holds a parsed document against its schema. @returns what the schema makes of it, or all its faults */
export function checkDocument<const Schema extends GenericSchema>(
  schema: Schema,
  document: unknown,
): CheckedDocument<InferOutput<Schema>> {
  const result = safeParse(schema, document);
  if (result.success) return { value: result.output, faults: [] };
  const [first, ...others] = result.issues;
  return { faults: [faultOf(first), ...others.map(faultOf)] };
}

function faultOf(issue: BaseIssue<unknown>): Fault {
  return { path: (issue.path ?? []).map(({ key }) => key as PropertyKey), problem: problemOf(issue) };
}

function problemOf({ kind, type, input, expected, message }: BaseIssue<unknown>): string {
  // Those have a text of their own in the schema.
  if (kind === 'validation' || type === 'custom') return message;
  if (expected === 'never') return 'is unknown';
  if (input === undefined) return 'is missing';
  return `expected ${expected?.toLowerCase()}, found ${kindOf(input)}`;
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}
