import * as v from 'valibot';
import { checkDocument, describeFault, recordOf, strictObjectOf } from '../../../base/check-document.js';
import { foldKeys } from '../../../base/fold-keys.js';
import { HOOK_NAMES, LATE_HOOKS } from '../device-edits.js';
import { MAJOR_MAX, MINOR_MAX } from '../device-numbers.js';

/** Those that there have been, the newest last; a third number says nothing about the files. */
const VERSIONS = ['0.1', '0.2', '0.3', '0.4', '0.5', '0.6', '0.7', '0.8', '1.0', '1.1'];

/** Makers of these files leave out what is empty in several ways. */
const maybe = <Schema extends v.GenericSchema>(schema: Schema) => v.optional(v.nullable(schema));
const texts = maybe(v.array(v.string()));
const number = (most: number) =>
  v.pipe(
    v.number(),
    v.integer('expected a whole number'),
    v.minValue(0, 'is below 0'),
    v.maxValue(most, 'is too large'),
  );
const path = v.pipe(v.string(), v.startsWith('/', 'must be an absolute path'), v.excludes('\0', 'has a NUL in it'));
const variable = v.pipe(v.string(), v.regex(/^[^=\0]+=[^\0]*$/, 'must be NAME=VALUE'));
const UINT32 = 2 ** 32 - 1;
/** The last number means none. @see chown(2) */
const ID_MAX = UINT32 - 1;

/** An object with these entries and no others, whatever the case of their names: the programs that these files are written for read them so, and the specification itself has `additionalGIDs` beside `additionalGids`. */
const named = <Entries extends v.ObjectEntries>(entries: Entries) =>
  v.pipe(
    v.unknown(),
    v.transform((value) =>
      typeof value === 'object' && value !== null && !Array.isArray(value)
        ? foldKeys(value, Object.keys(entries))
        : value,
    ),
    strictObjectOf(entries),
  );

const deviceNode = named({
  path,
  hostPath: maybe(path),
  type: maybe(v.picklist(['b', 'c', 'u', 'p', ''])),
  major: maybe(number(MAJOR_MAX)),
  minor: maybe(number(MINOR_MAX)),
  fileMode: maybe(number(UINT32)),
  permissions: maybe(v.pipe(v.string(), v.regex(/^(?:none|[rwm]*)$/, 'must be of the letters r, w and m, or none'))),
  uid: maybe(number(ID_MAX)),
  gid: maybe(number(ID_MAX)),
});
const mount = v.pipe(
  named({
    hostPath: v.pipe(v.string(), v.nonEmpty('is empty'), v.excludes('\0', 'has a NUL in it')),
    containerPath: path,
    options: texts,
    type: maybe(v.string()),
  }),
  // Other file systems have names there, such as tmpfs.
  v.forward(
    v.check((one) => !isBind(one) || one.hostPath.startsWith('/'), 'must be an absolute path'),
    ['hostPath'],
  ),
);
const hook = named({
  hookName: v.picklist([...HOOK_NAMES, ...(Object.keys(LATE_HOOKS) as (keyof typeof LATE_HOOKS)[])]),
  path,
  args: texts,
  env: maybe(v.array(variable)),
  timeout: maybe(v.pipe(number(UINT32), v.minValue(1, 'must be above 0'))),
});
const intelRdt = named({
  closID: maybe(v.string()),
  l3CacheSchema: maybe(v.string()),
  memBwSchema: maybe(v.string()),
  schemata: texts,
  enableMonitoring: maybe(v.boolean()),
  // Until 1.1.
  enableCMT: maybe(v.boolean()),
  enableMBM: maybe(v.boolean()),
});
const edits = named({
  env: maybe(v.array(variable)),
  deviceNodes: maybe(v.array(deviceNode)),
  netDevices: maybe(v.array(named({ hostInterfaceName: v.string(), name: v.string() }))),
  mounts: maybe(v.array(mount)),
  hooks: maybe(v.array(hook)),
  intelRdt: maybe(intelRdt),
  additionalGids: maybe(v.array(number(ID_MAX))),
});
export type CdiEdits = v.InferOutput<typeof edits>;

const annotations = maybe(recordOf(v.string()));
/** A label of a kind begins with a letter, the name of a device also with a digit. */
const LABEL = '[A-Za-z](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?';
const NAME = '[A-Za-z0-9](?:[A-Za-z0-9_.:-]*[A-Za-z0-9])?';
const document = named({
  cdiVersion: v.string(),
  kind: v.pipe(v.string(), v.regex(new RegExp(`^${LABEL}/${LABEL}$`), 'must be of the form VENDOR/CLASS')),
  annotations,
  devices: v.pipe(
    v.array(
      named({
        name: v.pipe(v.string(), v.regex(new RegExp(`^${NAME}$`), 'is no name of a device')),
        annotations,
        containerEdits: edits,
      }),
    ),
    v.minLength(1, 'is empty'),
  ),
  containerEdits: maybe(edits),
});
type Document = v.InferOutput<typeof document>;

/** Whether a mount shows something of this machine, and is no file system of its own: then its type is often `none`. */
export function isBind({
  type,
  options,
}: {
  readonly type?: string | null | undefined;
  readonly options?: readonly string[] | null | undefined;
}): boolean {
  return !type || type === 'none' || type === 'bind' || (options ?? []).some((option) => /^r?bind$/.test(option));
}

/** What a file says of devices of one kind. */
export interface CdiFile {
  /** `vendor.com/class` */
  readonly kind: string;
  readonly devices: readonly { readonly name: string; readonly edits: CdiEdits }[];
  /** For each container that has any of them. */
  readonly common: CdiEdits | undefined;
}

/** `vendor.com/class=name`, apart; undefined for any other text. */
export function parseCdiName(text: string): { readonly kind: string; readonly name: string } | undefined {
  const [, kind, name] = new RegExp(`^(${LABEL}/${LABEL})=(${NAME})$`).exec(text) ?? [];
  return kind === undefined || name === undefined ? undefined : { kind, name };
}

/**
 * Strict: what is not known here would be missing in a container, and nobody would be told.
 * @param value as JSON or YAML have it @throws Error whose message says what is wrong, and where
 * @see CDI SPEC.md 1.1.0, "CDI JSON Specification"
 */
export function readCdiDocument(value: unknown): CdiFile {
  const checked = checkDocument(document, value);
  if (!checked.sound) throw new Error(describeFault(checked.faults[0]));
  const { kind, devices, containerEdits, cdiVersion } = checked.value;
  const version = VERSIONS.indexOf(/^v?(\d+\.\d+)\.\d+$/.exec(cdiVersion)?.[1] ?? '');
  if (version < 0) {
    throw new Error(
      `cdiVersion: ${JSON.stringify(cdiVersion)} is none that is known; the newest is ${VERSIONS.at(-1)}.0`,
    );
  }
  const needed = neededVersion(checked.value);
  if (version < VERSIONS.indexOf(needed)) throw new Error(`cdiVersion: what it says needs ${needed}.0 at least`);
  const names = new Set<string>();
  for (const { name, containerEdits: own } of devices) {
    if (names.has(name)) throw new Error(`devices: ${name} stands there twice`);
    names.add(name);
    if (Object.values(own).every(isEmpty)) throw new Error(`devices: ${name} says nothing of a container`);
  }
  return {
    kind,
    devices: devices.map(({ name, containerEdits: own }) => ({ name, edits: own })),
    common: containerEdits ?? undefined,
  };
}

const isEmpty = (value: unknown) =>
  value === undefined || value === null || (Array.isArray(value) && value.length === 0);

/** The first version that has all that a document uses. @see CDI SPEC.md, "Released versions" */
function neededVersion({ kind, annotations: notes, devices, containerEdits }: Document): string {
  const all = [...devices.map((device) => device.containerEdits), ...(containerEdits ? [containerEdits] : [])];
  const has = (uses: (one: CdiEdits) => unknown) => all.some((one) => !isEmpty(uses(one)) && uses(one) !== false);
  const hasNotes = (value: object | null | undefined) => Object.keys(value ?? {}).length > 0;
  if (has((one) => one.netDevices) || has((one) => one.intelRdt?.schemata ?? one.intelRdt?.enableMonitoring))
    return '1.1';
  if (has((one) => one.intelRdt) || has((one) => one.additionalGids)) return '0.7';
  const isDotted = kind.slice(kind.indexOf('/')).includes('.');
  if (isDotted || hasNotes(notes) || devices.some((device) => hasNotes(device.annotations))) return '0.6';
  const hasHostPaths = has((one) => one.deviceNodes?.filter(({ hostPath }) => hostPath));
  if (hasHostPaths || devices.some(({ name }) => /^\d/.test(name))) return '0.5';
  return has((one) => one.mounts?.filter(({ type }) => type)) ? '0.4' : '0.1';
}
