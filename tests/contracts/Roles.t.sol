// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {IAccessManager} from "@openzeppelin/contracts/access/manager/IAccessManager.sol";
import {Deploy} from "../../scripts/deploy/Deploy.s.sol";
import {deployedContracts} from "./utils/Deployed.sol";
import {Test} from "./utils/Test.sol";
import {Vm} from "./utils/Vm.sol";

/// @notice docs/ROLES.md is what the AccessManager of a deployment says: written by `./scripts/roles write`, compared here.
/// The deployment is the demo's, but for the delay, which is the least that a production chain accepts.
contract RolesTest is Test {
    struct Member {
        uint64 role;
        address account;
    }

    string private constant _PAGE = "docs/ROLES.md";
    uint64 private constant _ROLES = 4;
    string private _json;
    Deploy private _script;
    AccessManager private _manager;
    Member[] private _members;

    function setUp() public {
        vm.warp(70_000 * EPOCH + 100);
        string memory config = vm.readFile("scripts/deploy/dev.json");
        config = vm.replace(config, "\"roleDelaySeconds\": 0", "\"roleDelaySeconds\": 259200");
        _json = vm.readFile("tests/contracts/functions.json");
        _script = new Deploy();
        vm.recordLogs();
        _script.deploy(config, address(_script));
        _manager = AccessManager(_script.system().accessManager);
        _readMembers(vm.getRecordedLogs());
    }

    /// @dev Whom a log names and who is a member still.
    function _readMembers(Vm.Log[] memory logs) private {
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter != address(_manager) || logs[i].topics[0] != IAccessManager.RoleGranted.selector) {
                continue;
            }
            Member memory m = Member(uint64(uint256(logs[i].topics[1])), address(uint160(uint256(logs[i].topics[2]))));
            (bool holds,) = _manager.hasRole(m.role, m.account);
            if (holds && !_known(m)) _members.push(m);
        }
    }

    function _known(Member memory m) private view returns (bool) {
        for (uint256 i = 0; i < _members.length; ++i) {
            if (_members[i].role == m.role && _members[i].account == m.account) return true;
        }
        return false;
    }

    function test_thePageIsWhatTheDeploymentSays() public {
        string memory page = _page();
        if (keccak256(bytes(vm.envOr("ROLES", string("check")))) == keccak256("write")) vm.writeFile(_PAGE, page);
        assertEq(bytes(vm.readFile(_PAGE)), bytes(page), "docs/ROLES.md is old: ./scripts/roles write");
    }

    /// The deployer keeps nothing, and nobody holds a role that is not on the page.
    function test_onlyOperatorAndGuardianHoldRoles() public view {
        assertEq(_members.length, 4, "members");
        for (uint256 i = 0; i < _members.length; ++i) {
            assertTrue(_members[i].role < _ROLES, "role");
            assertTrue(bytes(_holder(_members[i].account)).length != 0, "holder");
        }
    }

    /// What parameters wait for, they wait for even if the administrator does it.
    function test_administratorAndParametersWait() public view {
        for (uint256 i = 0; i < _members.length; ++i) {
            (, uint32 delay) = _manager.hasRole(_members[i].role, _members[i].account);
            bool waits = _members[i].role == 0 || _members[i].role == _script.PARAMETERS();
            assertEq(delay, waits ? 72 hours : 0, "delay");
        }
    }

    /* THE PAGE */

    function _page() private view returns (string memory) {
        return string.concat(
            "# Roles\n\nWho can change what in the contracts, and how long it takes. Written by `./scripts/roles write` from what the\n"
            "AccessManager of a deployment answers, and compared in the tests; don't edit it. The deployment is the demo's\n"
            "(`scripts/deploy/dev.json`) with the delay of 72 hours, below which `Deploy.s.sol` refuses a production chain.\n\n"
            "**Nothing here stops an exit**: `Exits.t.sol` calls every one of them while guardian and administrator are hostile.\n\n",
            _roleTable(),
            "\n## Functions that need a role\n\n| contract | function | role | waits |\n|---|---|---|---|\n",
            _functionTable("role"),
            "\n`setAuthority` is left out: the AccessManager alone calls it, for its administrator, after his delay. What has no role\n"
            "of its own is the administrator's.\n\n"
            "## Entries, which the guardian can stop\n\n| contract | function |\n|---|---|\n",
            _functionTable("entry"),
            "\n## Exits, which nobody can stop\n\n| contract | function |\n|---|---|\n",
            _functionTable("exit"),
            _rest()
        );
    }

    function _roleTable() private view returns (string memory out) {
        out =
            "| role | held by | waits | granted by | grants wait | guardian of its operations |\n|---|---|---|---|---|---|\n";
        for (uint64 role = 0; role < _ROLES; ++role) {
            string memory row = string.concat("| ", _role(role), " | ", _holders(role), " | ");
            row = string.concat(row, _role(_manager.getRoleAdmin(role)), " | ");
            row = string.concat(row, _hours(_manager.getRoleGrantDelay(role)), " | ");
            out = string.concat(out, row, _role(_manager.getRoleGuardian(role)), " |\n");
        }
    }

    function _holders(uint64 role) private view returns (string memory out) {
        for (uint256 i = 0; i < _members.length; ++i) {
            if (_members[i].role != role) continue;
            (, uint32 delay) = _manager.hasRole(role, _members[i].account);
            out = string.concat(out, _holder(_members[i].account), " | ", _hours(delay));
        }
    }

    function _holder(address account) private view returns (string memory) {
        string memory config = vm.readFile("scripts/deploy/dev.json");
        if (account == vm.parseJsonAddress(config, ".operator")) return "`operator` (a Safe)";
        if (account == vm.parseJsonAddress(config, ".guardian")) return "`guardian`";
        return "";
    }

    function _role(uint64 role) private view returns (string memory) {
        if (role == 0) return "administrator (0)";
        if (role == _script.OPERATOR()) return "operator (1)";
        if (role == _script.GUARDIAN()) return "guardian (2)";
        if (role == _script.PARAMETERS()) return "parameters (3)";
        return vm.toString(uint256(role));
    }

    function _hours(uint256 delay) private pure returns (string memory) {
        return delay == 0 ? "-" : string.concat(vm.toString(delay / 1 hours), " h");
    }

    /// @dev Signatures of a class, in the order of their contracts.
    function _functionTable(string memory kind) private view returns (string memory out) {
        (string[19] memory names, address[19] memory at) = deployedContracts(_script.system(), _script.line(0));
        for (uint256 i = 0; i < names.length; ++i) {
            out = string.concat(out, this.rowsOf(names[i], at[i], kind));
        }
    }

    /// @notice In a call of its own, whose memory is gone after it: artifacts are large.
    function rowsOf(string memory name, address at, string memory kind) external view returns (string memory out) {
        string memory artifact = vm.readFile(string.concat("out/", name, ".sol/", name, ".json"));
        string[] memory signatures = vm.parseJsonKeys(artifact, ".methodIdentifiers");
        for (uint256 i = 0; i < signatures.length; ++i) {
            string memory short = vm.split(signatures[i], "(")[0];
            string memory key = string.concat(".", name, ".", short);
            if (!vm.keyExistsJson(_json, key) || keccak256(bytes(short)) == keccak256("setAuthority")) continue;
            uint64 role = _manager.getTargetFunctionRole(at, bytes4(keccak256(bytes(signatures[i]))));
            bool isRole = keccak256(bytes(vm.parseJsonString(_json, key))) == keccak256("role");
            assertTrue(isRole || role == 0, key); // a role on what no role guards
            if (keccak256(bytes(vm.parseJsonString(_json, key))) != keccak256(bytes(kind))) continue;
            out = string.concat(out, "| `", name, "` | `", short, "` |");
            out = string.concat(out, isRole ? string.concat(" ", _role(role), " | ", _wait(role), " |\n") : "\n");
        }
    }

    /// @dev Of the role's only holder.
    function _wait(uint64 role) private view returns (string memory) {
        for (uint256 i = 0; i < _members.length; ++i) {
            if (_members[i].role != role) continue;
            (, uint32 delay) = _manager.hasRole(role, _members[i].account);
            return _hours(delay);
        }
        return "nobody";
    }

    function _rest() private view returns (string memory) {
        Deploy.System memory s = _script.system();
        return string.concat(
            "\n## Without a role\n\n- The oracle's quorum, ",
            vm.toString(uint256(s.fleetOracle.quorum())),
            " of ",
            vm.toString(s.fleetOracle.signers().length),
            " signers here, attests reports, valuations, gaps, batches of machines and upgrades. More than half\n"
            "  must sign, each with a stake of ",
            vm.toString(uint256(s.fleetOracle.minStake()) / 1e6),
            " USDC.\n"
            "- `SeriesUpgrader` alone changes a series' hardware and schedule: 72 hours after a proposal, with the quorum.\n"
            "- Everything else that changes anything is open to everybody, and `tests/contracts/functions.json` names it.\n"
        );
    }
}
