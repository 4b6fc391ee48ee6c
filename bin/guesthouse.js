#!/usr/bin/env node
require('../dist/bundle/command.cjs');
