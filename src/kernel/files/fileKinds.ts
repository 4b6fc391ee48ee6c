/** Loads every kind of open file, so that `operationsOf` finds them: imported by whatever opens or closes files. */
import './devices.js';
import './directory.js';
import './epoll.js';
import './eventFd.js';
import './hostStream.js';
import './memoryFile.js';
import './pathFile.js';
import './pidFd.js';
import './pipe.js';
import './posixQueue.js';
import './regularFile.js';
import './signalFd.js';
import '../sockets/socketFile.js';
import './textFile.js';
import './timerFd.js';
import '../terminals/masterFile.js';
import '../terminals/terminalFile.js';
