import { type BaseIssue, type GenericSchema, type InferOutput, safeParse } from 'valibot';

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
