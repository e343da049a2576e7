// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {BitcoinRelay} from "../../contracts/BitcoinRelay.sol";
import {BuybackPool} from "../../contracts/BuybackPool.sol";
import {CreditRule} from "../../contracts/CreditRule.sol";
import {DemoQuote} from "../../contracts/DemoQuote.sol";
import {EpochLedger} from "../../contracts/EpochLedger.sol";
import {ExitQueue} from "../../contracts/ExitQueue.sol";
import {FairValue} from "../../contracts/FairValue.sol";
import {FleetOracle} from "../../contracts/FleetOracle.sol";
import {HashProof} from "../../contracts/HashProof.sol";
import {LedgerCourt} from "../../contracts/LedgerCourt.sol";
import {PoolBooks} from "../../contracts/PoolBooks.sol";
import {PayoutRegistry} from "../../contracts/PayoutRegistry.sol";
import {PositionMarket} from "../../contracts/PositionMarket.sol";
import {PrimarySale} from "../../contracts/PrimarySale.sol";
import {RegistrarBond} from "../../contracts/RegistrarBond.sol";
import {Repositioner} from "../../contracts/Repositioner.sol";
import {SeriesRegistry} from "../../contracts/SeriesRegistry.sol";
import {SeriesUpgrader} from "../../contracts/SeriesUpgrader.sol";
import {IEpochLedger} from "../../contracts/interfaces/IEpochLedger.sol";
import {IFairValue} from "../../contracts/interfaces/IFairValue.sol";
import {IFleetOracle} from "../../contracts/interfaces/IFleetOracle.sol";
import {ILedgerCourt} from "../../contracts/interfaces/ILedgerCourt.sol";
import {ISeriesRegistry} from "../../contracts/interfaces/ISeriesRegistry.sol";
import {IRegistrarBond} from "../../contracts/interfaces/IRegistrarBond.sol";
import {ISeriesUpgrader} from "../../contracts/interfaces/ISeriesUpgrader.sol";
import {IStoppable} from "../../contracts/interfaces/IStoppable.sol";
import {Production} from "../../contracts/libraries/Production.sol";
import {Vm} from "../../tests/contracts/utils/Vm.sol";

/// @title Deploy
/// @notice Deploys everything from a JSON configuration and writes the addresses as JSON. If the output file exists and
/// its addresses have code on this chain, sends nothing.
/// @dev forge script scripts/deploy/Deploy.s.sol --sig "run(string,string)" CONFIG OUT --broadcast --unlocked --sender A
contract Deploy {
    struct System {
        address accessManager;
        address quote;
        SeriesRegistry seriesRegistry;
        PrimarySale primarySale;
        PositionMarket positionMarket;
        FairValue fairValue;
        FleetOracle fleetOracle;
        PayoutRegistry payoutRegistry;
        EpochLedger epochLedger;
        BitcoinRelay bitcoinRelay;
        LedgerCourt ledgerCourt;
        CreditRule creditRule;
        SeriesUpgrader seriesUpgrader;
        RegistrarBond registrarBond;
        HashProof hashProof;
        Repositioner repositioner;
    }

    struct Line {
        uint16 id;
        address unit;
        BuybackPool pool;
        ExitQueue queue;
    }

    error WrongPrediction(address expected, address found);
    /// @notice On a production chain parameters wait 72 hours, and the guardian is not the operator.
    error UnsafeRoles(uint256 delay, address operator, address guardian);
    /// @notice On a production chain the first-loss account holds at least 30 % of a pool's LP shares: below that, other
    /// LPs lose more than 2 % in a crash (docs/crashes.md).
    error UnsafePool(uint256 series, uint256 firstLossPpm, uint256 least);
    /// @notice On a production chain the registrar vouches for its machines with money.
    error UnsafeBond(uint256 registrar);

    event Log(string message);

    Vm private constant _VM = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    uint64 public constant OPERATOR = 1;
    uint64 public constant GUARDIAN = 2;
    uint64 public constant PARAMETERS = 3;

    uint256 public constant LEAST_FIRST_LOSS = 300_000;

    bool public constant IS_SCRIPT = true;
    System internal _system;
    Line[] internal _lines;

    /// @notice Deploys with `configPath`, writes `outPath`.
    function run(string calldata configPath, string calldata outPath) external {
        if (_isDeployed(outPath)) {
            emit Log("already deployed, nothing sent");
            return;
        }
        string memory json = _VM.readFile(configPath);
        _VM.startBroadcast();
        deploy(json, msg.sender);
        if (_VM.parseJsonAddress(json, ".quoteToken") == address(0)) stakeDemo(msg.sender);
        _VM.stopBroadcast();
        _VM.writeFile(outPath, _output());
    }

    /// @notice The deployment itself, by `deployer`; also used by tests.
    function deploy(string memory json, address deployer) public {
        if (Production.isProduction(block.chainid)) _checkProduction(json);
        _core(json, deployer);
        for (uint256 i = 0; _VM.keyExistsJson(json, _at(i, ".symbol")); ++i) {
            _series(json, i);
        }
        _roles(json, deployer);
    }

    /// @notice Gives every signer the minimum stake in demo money.
    function stakeDemo(address deployer) public {
        FleetOracle oracle = _system.fleetOracle;
        address[] memory list = oracle.signers();
        uint256 amount = oracle.minStake();
        DemoQuote(_system.quote).mint(deployer, amount * list.length);
        DemoQuote(_system.quote).approve(address(oracle), amount * list.length);
        for (uint256 i = 0; i < list.length; ++i) {
            oracle.stake(list[i], amount);
        }
    }

    function system() external view returns (System memory) {
        return _system;
    }

    function line(uint256 i) external view returns (Line memory) {
        return _lines[i];
    }

    /* CORE */

    function _core(string memory json, address deployer) private {
        System storage s = _system;
        AccessManager manager = new AccessManager(deployer);
        s.accessManager = address(manager);
        s.quote = _VM.parseJsonAddress(json, ".quoteToken");
        if (s.quote == address(0)) s.quote = address(new DemoQuote());
        s.payoutRegistry = new PayoutRegistry();
        s.positionMarket = new PositionMarket(0, address(0));
        // registry, oracle, fair value and sale name each other: their addresses follow from the deployer's nonce
        uint256 nonce = _VM.getNonce(deployer);
        address registry = _VM.computeCreateAddress(deployer, nonce + 1);
        address sale = _VM.computeCreateAddress(deployer, nonce + 3);
        address court = _VM.computeCreateAddress(deployer, nonce + 7);
        s.fleetOracle = new FleetOracle(
            address(manager),
            registry,
            s.quote,
            uint96(_VM.parseJsonUint(json, ".signerStake")),
            _VM.parseJsonAddressArray(json, ".signers"),
            uint8(_VM.parseJsonUint(json, ".quorum")),
            uint32(block.timestamp / 28_800)
        );
        s.seriesRegistry = new SeriesRegistry(
            address(manager),
            address(s.fleetOracle),
            sale,
            court,
            _VM.computeCreateAddress(deployer, nonce + 8),
            _VM.computeCreateAddress(deployer, nonce + 9)
        );
        s.fairValue = new FairValue(address(manager), registry, address(s.fleetOracle));
        s.primarySale = new PrimarySale(
            address(manager), registry, address(s.fairValue), address(s.payoutRegistry), s.quote, court
        );
        if (address(s.seriesRegistry) != registry) revert WrongPrediction(registry, address(s.seriesRegistry));
        if (address(s.primarySale) != sale) revert WrongPrediction(sale, address(s.primarySale));
        s.bitcoinRelay = new BitcoinRelay(
            uint256(_VM.parseJsonBytes32(json, ".bitcoinTarget")),
            _VM.parseJsonBool(json, ".noRetarget"),
            _VM.parseJsonUint(json, ".bitcoinAnchor.sideHeaders"),
            _VM.parseJsonUint(json, ".bitcoinAnchor.height"),
            _VM.parseJsonBytes(json, ".bitcoinAnchor.header")
        );
        s.epochLedger = new EpochLedger(
            address(manager),
            address(s.fleetOracle),
            address(s.bitcoinRelay),
            court,
            uint8(_VM.parseJsonUint(json, ".confirmations"))
        );
        s.creditRule = new CreditRule(address(s.epochLedger));
        s.ledgerCourt = new LedgerCourt(
            address(manager),
            address(s.creditRule),
            address(s.payoutRegistry),
            s.quote,
            _VM.parseJsonUint(json, ".bond.factor"),
            _VM.parseJsonUint(json, ".bond.demandDepositWei")
        );
        if (address(s.ledgerCourt) != court) revert WrongPrediction(court, address(s.ledgerCourt));
        _machines(s, _VM.parseJsonUint(json, ".bond.registrar"));
        s.seriesRegistry.addVenue(address(s.positionMarket));
        // the fleet is that of the registry: its id is the registry's address, so that nobody has to be told it
        s.hashProof = new HashProof(_VM.parseJsonUint(json, ".hashProof.k"));
        s.hashProof.register(bytes32(uint256(uint160(registry))));
        // no venue: a policy asks about those it buys for, also in the primary sale
        s.repositioner = new Repositioner(address(s.positionMarket), sale, registry);
    }

    /// @dev What the registry named before it was there.
    function _machines(System storage s, uint256 minimum) private {
        SeriesRegistry registry = s.seriesRegistry;
        s.seriesUpgrader = new SeriesUpgrader(s.accessManager, address(registry), address(s.fairValue), s.quote);
        s.registrarBond = new RegistrarBond(s.accessManager, address(registry), s.quote, minimum);
        address found = address(s.seriesUpgrader);
        if (found != registry.upgrader()) revert WrongPrediction(registry.upgrader(), found);
        found = address(s.registrarBond);
        if (found != registry.registrarBond()) revert WrongPrediction(registry.registrarBond(), found);
    }

    /* SERIES */

    function _series(string memory json, uint256 i) private {
        System storage s = _system;
        (uint16 id, address unit) = s.seriesRegistry.createSeries(_seriesParams(json, i));
        s.fairValue.setParams(id, _valueParams(json, i));
        BuybackPool pool = new BuybackPool(s.accessManager, _poolConfig(json, i, id, unit));
        ExitQueue queue = ExitQueue(pool.queue());
        s.seriesRegistry.addVenue(address(pool));
        s.seriesRegistry.addVenue(address(queue));
        address firstLoss = pool.firstLoss();
        s.epochLedger.addWrapper(IEpochLedger.Wrapper(id, address(pool), pool.lpShare(), firstLoss));
        s.epochLedger.addWrapper(IEpochLedger.Wrapper(id, address(queue), queue.claimToken(), firstLoss));
        _lines.push(Line(id, unit, pool, queue));
    }

    function _seriesParams(string memory json, uint256 i) private view returns (ISeriesRegistry.SeriesParams memory) {
        uint256 since = _uint(json, i, ".serviceDate");
        return ISeriesRegistry.SeriesParams({
            algorithm: uint8(_uint(json, i, ".algorithm")),
            generation: uint16(_uint(json, i, ".generation")),
            hashratePerUnit: uint64(_uint(json, i, ".hashratePerUnit")),
            millijoulePerTerahash: uint32(_uint(json, i, ".millijoulePerTerahash")),
            serviceDate: uint40(since == 0 ? block.timestamp : since),
            opexPerUnit: uint64(_uint(json, i, ".opexPerUnitSats") << 32),
            policy: _VM.parseJsonAddress(json, _at(i, ".policy")),
            model: _VM.parseJsonString(json, _at(i, ".model")),
            name: _VM.parseJsonString(json, _at(i, ".name")),
            symbol: _VM.parseJsonString(json, _at(i, ".symbol"))
        });
    }

    function _valueParams(string memory json, uint256 i) private pure returns (IFairValue.Params memory) {
        return IFairValue.Params({
            initialValue: uint128(_uint(json, i, ".fairValue.initialValueSats") << 32),
            scrapPpm: uint32(_uint(json, i, ".fairValue.scrapPpm")),
            decayPpm: uint32(_uint(json, i, ".fairValue.decayPpm")),
            discountPpm: uint32(_uint(json, i, ".fairValue.discountPpm")),
            lifeEpochs: uint32(_uint(json, i, ".fairValue.lifeEpochs"))
        });
    }

    function _poolConfig(string memory json, uint256 i, uint16 id, address unit)
        private
        view
        returns (PoolBooks.Config memory)
    {
        return PoolBooks.Config({
            seriesId: id,
            unit: unit,
            quoteToken: _system.quote,
            fairValue: address(_system.fairValue),
            ledger: address(_system.epochLedger),
            firstLoss: _VM.parseJsonAddress(json, _at(i, ".pool.firstLoss")),
            feePpm: uint32(_uint(json, i, ".pool.feePpm")),
            skewPpm: uint32(_uint(json, i, ".pool.skewPpm")),
            askSkewPpm: uint32(_uint(json, i, ".pool.askSkewPpm")),
            outflowPpm: uint32(_uint(json, i, ".pool.outflowPpm")),
            firstLossPpm: uint32(_uint(json, i, ".pool.firstLossPpm")),
            name: _VM.parseJsonString(json, _at(i, ".symbol"))
        });
    }

    /* ROLES */

    function _checkProduction(string memory json) private view {
        address operator = _VM.parseJsonAddress(json, ".operator");
        address guardian = _VM.parseJsonAddress(json, ".guardian");
        uint256 delay = _VM.parseJsonUint(json, ".roleDelaySeconds");
        if (delay < 72 hours || operator == guardian) revert UnsafeRoles(delay, operator, guardian);
        uint256 registrar = _VM.parseJsonUint(json, ".bond.registrar");
        if (registrar == 0) revert UnsafeBond(registrar);
        for (uint256 i = 0; _VM.keyExistsJson(json, _at(i, ".symbol")); ++i) {
            uint256 part = _uint(json, i, ".pool.firstLossPpm");
            if (part < LEAST_FIRST_LOSS) revert UnsafePool(i + 1, part, LEAST_FIRST_LOSS);
        }
    }

    /// @dev The deployer acts as administrator until here, and hands over to the operator.
    function _roles(string memory json, address deployer) private {
        System storage s = _system;
        AccessManager manager = AccessManager(s.accessManager);
        address operator = _VM.parseJsonAddress(json, ".operator");
        uint32 delay = uint32(_VM.parseJsonUint(json, ".roleDelaySeconds"));

        _allow(manager, address(s.epochLedger), OPERATOR, IEpochLedger.commit.selector);
        _allow(manager, address(s.epochLedger), OPERATOR, IEpochLedger.setBaton.selector);
        _allow(manager, address(s.ledgerCourt), OPERATOR, ILedgerCourt.announceWithdrawal.selector);
        _allow(manager, address(s.ledgerCourt), OPERATOR, ILedgerCourt.withdraw.selector);
        _allow(manager, address(s.seriesRegistry), OPERATOR, ISeriesRegistry.createSeries.selector);
        _allow(manager, address(s.seriesUpgrader), OPERATOR, ISeriesUpgrader.propose.selector);
        _allow(manager, address(s.registrarBond), OPERATOR, IRegistrarBond.announceWithdrawal.selector);
        _allow(manager, address(s.registrarBond), OPERATOR, IRegistrarBond.withdraw.selector);
        _allow(manager, address(s.primarySale), OPERATOR, PrimarySale.setPayoutScript.selector);
        _allow(manager, address(s.primarySale), OPERATOR, PrimarySale.withdraw.selector);
        _allow(manager, address(s.epochLedger), PARAMETERS, IEpochLedger.addWrapper.selector);
        _allow(manager, address(s.seriesRegistry), PARAMETERS, ISeriesRegistry.addVenue.selector);
        _allow(manager, address(s.fairValue), PARAMETERS, IFairValue.setParams.selector);
        _allow(manager, address(s.fleetOracle), PARAMETERS, IFleetOracle.setSigners.selector);
        _allow(manager, address(s.seriesRegistry), GUARDIAN, IStoppable.setStopped.selector);
        _allow(manager, address(s.primarySale), GUARDIAN, IStoppable.setStopped.selector);
        for (uint256 i = 0; i < _lines.length; ++i) {
            _allow(manager, address(_lines[i].pool), GUARDIAN, IStoppable.setStopped.selector);
        }
        manager.grantRole(OPERATOR, operator, 0);
        manager.grantRole(PARAMETERS, operator, delay);
        manager.grantRole(GUARDIAN, _VM.parseJsonAddress(json, ".guardian"), 0);
        if (operator != deployer || delay != 0) manager.grantRole(0, operator, delay);
        if (operator != deployer) manager.renounceRole(0, deployer);
    }

    function _allow(AccessManager manager, address target, uint64 role, bytes4 selector) private {
        bytes4[] memory selectors = new bytes4[](1);
        selectors[0] = selector;
        manager.setTargetFunctionRole(target, selectors, role);
    }

    /* FILES */

    function _isDeployed(string memory outPath) private view returns (bool) {
        if (!_VM.exists(outPath)) return false;
        string memory json = _VM.readFile(outPath);
        if (!_VM.keyExistsJson(json, ".epochLedger")) return false;
        if (_VM.parseJsonUint(json, ".chainId") != block.chainid) return false;
        bool ledger = _VM.parseJsonAddress(json, ".epochLedger").code.length != 0;
        return ledger && _VM.parseJsonAddress(json, ".seriesRegistry").code.length != 0;
    }

    function _output() private view returns (string memory out) {
        System storage s = _system;
        out = string.concat(
            "{\n  \"chainId\": ", _VM.toString(block.chainid), ",\n  \"block\": ", _VM.toString(block.number)
        );
        out = string.concat(out, ",\n  \"firstEpoch\": ", _VM.toString(uint256(s.epochLedger.firstEpoch())));
        out = string.concat(out, _field("accessManager", s.accessManager), _field("quote", s.quote));
        out = string.concat(out, _field("seriesRegistry", address(s.seriesRegistry)));
        out = string.concat(out, _field("primarySale", address(s.primarySale)));
        out = string.concat(out, _field("positionMarket", address(s.positionMarket)));
        out = string.concat(out, _field("fairValue", address(s.fairValue)));
        out = string.concat(out, _field("fleetOracle", address(s.fleetOracle)));
        out = string.concat(out, _field("payoutRegistry", address(s.payoutRegistry)));
        out = string.concat(out, _field("epochLedger", address(s.epochLedger)));
        out = string.concat(out, _field("bitcoinRelay", address(s.bitcoinRelay)));
        out = string.concat(out, _field("ledgerCourt", address(s.ledgerCourt)));
        out = string.concat(out, _field("creditRule", address(s.creditRule)));
        out = string.concat(out, _field("seriesUpgrader", address(s.seriesUpgrader)));
        out = string.concat(out, _field("registrarBond", address(s.registrarBond)));
        out = string.concat(out, _field("hashProof", address(s.hashProof)));
        out = string.concat(out, _field("repositioner", address(s.repositioner)), ",\n  \"series\": [");
        for (uint256 i = 0; i < _lines.length; ++i) {
            out = string.concat(out, i == 0 ? "\n" : ",\n", _lineOutput(_lines[i]));
        }
        out = string.concat(out, "\n  ]\n}\n");
    }

    function _lineOutput(Line storage l) private view returns (string memory out) {
        out = string.concat("    { \"id\": ", _VM.toString(uint256(l.id)), _pair("unit", l.unit));
        out = string.concat(out, _pair("pool", address(l.pool)), _pair("lpShare", l.pool.lpShare()));
        out = string.concat(out, _pair("queue", address(l.queue)), _pair("claimToken", l.queue.claimToken()), " }");
    }

    function _field(string memory key, address value) private pure returns (string memory) {
        return string.concat(",\n  \"", key, "\": \"", _VM.toString(value), "\"");
    }

    function _pair(string memory key, address value) private pure returns (string memory) {
        return string.concat(", \"", key, "\": \"", _VM.toString(value), "\"");
    }

    function _at(uint256 i, string memory key) private pure returns (string memory) {
        return string.concat(".series[", _VM.toString(i), "]", key);
    }

    function _uint(string memory json, uint256 i, string memory key) private pure returns (uint256) {
        return _VM.parseJsonUint(json, _at(i, key));
    }
}
