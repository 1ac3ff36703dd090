// The parser of the AsyncAPI initiative judges the document on standard input: one JSON line for each error.
import { text } from 'node:stream/consumers';
import { Parser } from '@asyncapi/parser';

const { diagnostics } = await new Parser().parse(await text(process.stdin));
for (const { severity, path, message } of diagnostics) {
  if (severity === 0) console.log(JSON.stringify({ where: path.join('.'), what: message }));
}
