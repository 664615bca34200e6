"""Bad input gets one line and exit code 2, before anything is written or trained."""

import socket

import pytest

from bad import Bad, bad, check, synthetic

BAD_INPUT = [
    # unknown names, with the nearest right one
    bad("train loss=mes", "unknown loss 'mes'", "did you mean 'mse'", "cross_entropy"),
    bad("train data=minst5k", "unknown data 'minst5k'", "did you mean 'mnist5k'"),
    bad("train model=smal_cnn", "unknown model 'smal_cnn'", "did you mean 'small_cnn'"),
    bad("train optimizer=sdg", "'sdg'", "did you mean 'sgd'"),
    bad("train launcher=jobib", "'jobib'", "did you mean 'joblib'"),
    bad("train optimiser.lr=0.1", "'optimiser.lr'", "did you mean 'optimizer.lr'"),
    bad("train trainer.epoch=1", "'trainer.epoch'", "did you mean 'trainer.epochs'"),
    synthetic("+trainer.epoch=1", "'trainer.epoch'", "did you mean 'trainer.epochs'"),
    synthetic("+model.widht=4", "'model.widht'", "did you mean 'model.width'"),
    synthetic("+optimizer.lrr=1", "'optimizer.lrr'", "did you mean 'optimizer.lr'"),
    synthetic("loss=map_gaussian +loss.prior.sdt=1", "'loss.prior.sdt'", "'loss.prior.std'"),
    synthetic("+data.source.nois=1", "'data.source.nois'", "'data.source.noise'"),
    bad("train data=mnist +data.rooot=x", "'data.rooot'", "did you mean 'data.root'"),
    bad("train losses=mse", "'losses'", "did you mean 'loss'"),
    bad("train ~optimizer.momentm", "'optimizer.momentm'", "'optimizer.momentum'"),
    bad("train launcher.worker=2", "'launcher.worker'", "'launcher.workers'"),
    bad("train loss@likelihood=mse", "'loss@likelihood'"),
    bad("train study=identities", "'study'"),
    bad("train data", "'data'", "key=value"),
    bad("train mse", "'mse' is not an override", "did you mean 'loss=mse'", "key=value"),
    bad("train loss = mse", "'loss'", "without spaces"),
    bad("train optimizer.lr=[", "'optimizer.lr=['", "key=value"),
    bad("train =3", "'=3'", "key=value"),
    bad("foo", "'foo'", "train, study, verify, report, runs, best, compare, board, list"),
    bad("trian", "'trian'", "did you mean 'train'"),
    bad("list los", "'los'", "did you mean 'loss'"),
    # references that lead nowhere, and sizes that no machine has
    synthetic("optimizer.lr=${oc.env:NOT_THERE}", "optimizer.lr=", "NOT_THERE is not set"),
    synthetic("optimizer.lr=${optimizer.lr}", "optimizer.lr=", "refers to itself"),
    synthetic("name=${nothing.x}", "name=", "no key 'nothing.x'"),
    synthetic("model=mlp model.width=1000000000", "model", "memory ran out"),
    # flags
    bad("train --foo", "--foo", "losslab train --help"),
    bad("train --cfg", "--cfg", "expected one argument"),
    bad("train --cfg job loss=mes", "'mes'", "did you mean 'mse'"),
    bad("train --cfg job seed=0,1", "seed=0,1", "-m"),
    bad("train --info defaults optimizer.rl=1", "'optimizer.rl'", "'optimizer.lr'"),
    bad("train --resolve", "--resolve", "--cfg"),
    bad("train -sc", "install"),
    bad("train --config-path=conf", "--config-path=conf", "--config-dir"),
    bad("train --experimental-rerun=x", "--experimental-rerun=x", "manifest.json"),
    bad("study why_squared_error --cfg job", "--cfg", "losslab train"),
    bad("report", "path", "losslab report --help"),
    bad("report . --to", "--to"),
    bad("list loss model", "model", "losslab list --help"),
    bad("board nowhere", "nowhere"),
    bad("explore page.html", "page.html", "losslab explore --help"),
    bad("explore --to page.pdf", "page.pdf", ".html"),
    bad("explore --to", "--to", "expected one argument"),
    bad("explore --to /dev/null/page.html", "/dev/null"),
    bad("board --port=x", "'x'"),
    # out of range
    *(
        synthetic(f"optimizer.lr={value}", "optimizer.lr=", "above 0")
        for value in ("0", "-1", "nan", "inf", "abc", "true", "1" + 400 * "0")
    ),
    synthetic("optimizer.momentum=1.5", "optimizer.momentum=1.5", "below 1"),
    synthetic("optimizer.nesterov=true optimizer.momentum=0", "Nesterov", "momentum=0"),
    synthetic("optimizer=adam optimizer.betas=[0.9,1.5]", "1.5"),
    synthetic(
        "optimizer=adam optimizer.betas=[0.9]", "optimizer.betas=[0.9]", "[a number, a number]"
    ),
    synthetic("+optimizer.foreach=true", "optimizer.foreach=true", "optimizer.fused=false"),
    synthetic("optimizer._partial_=false", "optimizer._partial_=False", "true"),
    *(
        synthetic(f"trainer.{name}=0", f"trainer.{name}=0", "≥ 1")
        for name in ("epochs", "steps", "batch_size", "threads", "log_every", "checkpoint_every")
    ),
    synthetic("trainer.pictures_every=0", "trainer.pictures_every=0", "≥ 1", "null"),
    synthetic("trainer.histograms_every=0", "trainer.histograms_every=0", "≥ 1", "null"),
    synthetic("trainer.epochs=null", "trainer.epochs", "null"),
    synthetic("trainer.threads=99999", "trainer.threads=99999", "1024"),
    *(
        synthetic(f"trainer.epochs={value}", "trainer.epochs=", "a whole number")
        for value in ("1.5", "nan", "true", "abc")
    ),
    synthetic("trainer.batch_size=385", "385", "384"),
    synthetic("trainer.precision=bfloat17", "bfloat17", "float32, tf32, bfloat16"),
    synthetic("trainer.channels_last=abc", "trainer.channels_last=abc", "true or false"),
    synthetic("loss=map_gaussian loss.prior.std=0", "std is 0"),
    *(
        synthetic(f"loss=map_gaussian loss.prior.std={value}", "loss.prior.std=", "a number")
        for value in ("abc", "null", "true", "[1]")
    ),
    synthetic("loss=map_gaussian loss.num_train=10", "loss.num_train=10", "from the data"),
    synthetic("loss=map_gaussian loss.likelihood=mse", "loss.likelihood=mse", "_target_"),
    synthetic("+loss.reduction=sum", "loss.reduction=sum", "no effect"),
    synthetic("loss=brier loss.activation=sofmax", "'sofmax'", "softmax, sigmoid, none"),
    synthetic("loss=mse_one_sided loss.activation=softmax", "'softmax'", "allowed is none"),
    synthetic("loss=mse_one_sided loss.one_sided=abc", "loss.one_sided=abc", "true or false"),
    synthetic("loss=mse_one_sided loss.one_sided=nan", "loss.one_sided=nan", "true or false"),
    synthetic("data.label_noise=1.5", "label_noise=1.5"),
    synthetic("data.label_noise=abc", "label_noise=abc"),
    synthetic("data.train_size=0", "train_size=0"),
    synthetic("data.train_size=9999", "train_size=9999", "384"),
    synthetic("data.split_seed=abc", "split_seed=abc"),
    synthetic("data.num_classes=abc", "num_classes=abc"),
    *(
        synthetic(f"data.digits={value}", f"data.digits={value}", "a whole number")
        for value in ("1.5", "True", "nan", "abc", "None")
    ),
    synthetic("data.digits=0", "digits=0", "from 1 to 13"),
    synthetic("data.digits=8", "digits=8", "4 classes into 65536", "num_classes"),
    synthetic("data.digits=2 data.train_size=15", "train_size=15", "from 16 to 38400"),
    synthetic("data.digits=2 data.val_size=2", "validation part", "'pattern"),
    synthetic(
        "data.digits=2 data.augmentation={_target_:losslab.data.Augmentation}",
        "data.augmentation.flip=false",
    ),
    synthetic("data.augmentation=flip", "augmentation=flip"),
    synthetic("optimizer.nesterov=abc", "optimizer.nesterov=abc", "true or false"),
    synthetic("loss=map_gaussian loss.prior=null", "loss.prior=None", "_target_"),
    synthetic("data.num_classes=5", "num_classes=5", "4 classes"),
    synthetic("+model.num_classes=3", "model.num_classes=3", "from the data"),
    synthetic("model.width=abc", "width=abc"),
    synthetic("model.normalization=btach", "'btach'", "batch"),
    synthetic("schedule.final=1", "schedule.final=1"),
    synthetic("schedule=one_cycle schedule.warmup=abc", "warmup=abc"),
    synthetic("seed=-1", "seed=-1"),
    synthetic("seed=0,1", "seed=0,1", "-m"),
    synthetic("force=perhaps", "force=perhaps"),
    synthetic("name=../elsewhere", "name=../elsewhere"),
    synthetic("name=.", "name=."),
    synthetic(f"name={300 * 'a'}", "at most 200 letters"),
    bad("train lr=1", "'lr'", "did you mean 'optimizer.lr'"),
    bad("train optimizer=SGD", "'SGD'", "did you mean 'sgd'"),
    synthetic("optimizer=adam optimizer.momentum=0.5", "optimizer=adam has no momentum; see"),
    synthetic("loss.activation=softmax", "loss=cross_entropy has no activation; see"),
    bad("train -m seed=0,", "'seed=0,'", "write key=value"),
    synthetic("output_dir=null", "output_dir=None"),
    synthetic("output_dir=", "output_dir="),
    synthetic("output_dir=/dev/null", "/dev/null/runs", "output_dir=..."),
    # Hydra's own settings without effect here
    *(
        synthetic(setting, setting, "no effect", instead)
        for setting, instead in {
            **{"hydra.job.chdir=true": "output_dir", "hydra.run.dir=x": "output_dir"},
            **{"hydra.sweep.dir=x": "output_dir", "hydra.sweep.subdir=x": "output_dir"},
            **{"hydra.output_subdir=x": "config.yaml", "hydra.verbose=true": "log.txt"},
            **{"hydra.mode=MULTIRUN": "add -m", "hydra.searchpath=[pkg://this]": "--config-dir"},
            **{"+hydra.job.env_set.A=x": "shell", "hydra.job.name=x": "name="},
            **{"+hydra.sweeper.params.seed=1": "-m", "hydra/launcher=joblib": "launcher=..."},
            **{"sweeper=optuna": "-m", "sweeper.trials=1": "-m"},
        }.items()
    ),
    synthetic("hydra/job_logging=default", "hydra/job_logging", "no effect", "log.txt"),
    bad("study identities sweeper=optuna", "sweeper=optuna", "no effect"),
    bad("train -m hydra/launcher=joblib", "hydra/launcher=joblib", "launcher=..."),
    bad("train -m data=synthetic hydra.sweep.dir=x", "hydra.sweep.dir=x", "output_dir"),
    # what Hydra cannot read bare, and how to write it
    bad("train output_dir=Größe", "'output_dir=Größe'", """'output_dir="Größe"'"""),
    Bad(("train", "output_dir=runs (1)"), ("""'output_dir="runs (1)"'""",)),
    synthetic("~data.train_size", "~data.train_size", "already null; leave it out"),
    # a group with none or several choices
    bad("train ~diagnostics", "~diagnostics", "diagnostics=none"),
    bad("train diagnostics=null", "did you mean 'none'"),
    bad("train diagnostics=[]", "diagnostics=none"),
    bad("train loss=[mse,brier]", "loss=[mse,brier]", "one loss", "-m loss=mse,brier"),
    bad("train -m loss=[mse,brier]", "loss=[mse,brier]", "one loss"),
    bad("train -m data=synthetic model=mlp,linear model.width=8", "model=linear has no width"),
    bad("train -m data=synthetic model=linear,mlp model.width=8", "model=linear has no width"),
    synthetic("data.source.num_train=4 data.val_size=1", "val_size=1", "4 examples are too few"),
    # what people give in place of a part
    synthetic(
        "schedule._target_=torch.optim.lr_scheduler.StepLR ~schedule.final",
        *("StepLR", "def mine(progress)"),
    ),
    synthetic(
        "schedule._target_=torch.optim.lr_scheduler.StepLR ~schedule.final "
        "+schedule._partial_=true +schedule.step_size=1",
        "def mine(progress)",
    ),
    bad(
        "train loss._target_=torch.nn.functional.mse_loss ~loss.label_smoothing",
        *("needs input", "class Mine(torch.nn.Module)"),
    ),
    synthetic("model=linear model._target_=torch.nn.Linear", "no input_shape", "num_classes): "),
    synthetic("model._target_=torchvision.models.resnet18", "resnet18", "def mine(input_shape"),
    synthetic("data.source.noise=true", "data.source.noise=True", "a number"),
    synthetic("data.source.image_shape=abc", "data.source.image_shape=abc", "a list"),
    synthetic("data.dataset=null", "data.dataset=None"),
    bad("train data=cifar10 data.augmentation.padding=1.5", "padding=1.5", "a whole number"),
    bad("train data=mnist data.root=null", "data.root=None", "a name or a path"),
    # what does not go together
    synthetic("loss=map_gaussian optimizer.weight_decay=0.1", "weight_decay=0.1", "prior"),
    synthetic("loss=map_laplace optimizer=adamw", "weight_decay=0.01", "prior"),
    synthetic(
        "loss=map_gaussian optimizer=adamw ~optimizer.weight_decay", "weight_decay=0.01", "prior"
    ),
    synthetic("model=deep_cnn data.source.image_shape=[1,4,4]", "4x4"),
    bad("train +recipe=cifar10_fast model=deep_cnn", "model.flip_average"),
    bad("train +recipe=cifar10_fast loss=map_gaussian", "weight_decay=0.002", "prior"),
    bad("train recipe=cifar10_fast", "recipe is optional; add it with +recipe=..."),
    bad("train +recipe=cifar10", "'cifar10_fast'"),
    synthetic("schedule=triangle schedule.anneal_strategy=lin", "lin; give one of cos, linear"),
    synthetic("model=whitened_cnn data.source.image_shape=[1,8,8]", "8x8"),
    # what is not there
    synthetic("init_from=runs/lr=1/seed=0", "init_from=runs/lr=1/seed=0 does not exist", "null"),
    synthetic("trainer.device=cdua", "trainer.device=cdua", "cpu"),
    synthetic("~loss", "loss"),
    bad("train data=mnist data.download=false", "data=mnist5k", "data.root=", "train-images"),
    bad("train data=cifar10 data.download=false", "data=mnist5k", "data.root="),
    bad("train data=image_folder", "data.root"),
    bad("train data=image_folder data.root=/nowhere", "/nowhere/train"),
    bad("train --config-dir /nowhere", "/nowhere"),
    bad("train --config-name=mine", "--config-name=mine", "losslab list"),
    synthetic("~loss._target_", "loss._target_", "dotted name"),
    synthetic("loss._target_=nowhere.Loss", "nowhere.Loss", "No module named 'nowhere'"),
    synthetic("loss._target_=losslab.losses.CrosEntropy", "did you mean 'CrossEntropy'"),
    synthetic("schedule._target_=losslab.losses.Focal ~schedule.final", "schedule", "progress 0.0"),
    synthetic("~data.val_size", "data.val_size", "no value"),
    # wrong in a way that shows before the data are read, or downloaded
    bad("train data=mnist loss=brier loss.activation=sofmax", "'sofmax'"),
    bad("train data=mnist loss=map_gaussian optimizer.weight_decay=1", "weight_decay=1", "prior"),
    bad("train data=mnist model.width=abc", "model.width=abc"),
    bad("report nowhere", "nowhere"),
    bad("report .", "no runs"),
    # one of many
    bad("train -m data=synthetic optimizer.lr=0.1,0,0.2", "optimizer.lr=0"),
    bad("train -m data=synthetic loss=mse,mes", "'mes'", "'mse'"),
    bad("train -m data=synthetic loss=mse,map_gaussian optimizer=adamw", "weight_decay=0.01"),
    bad("train -m data=synthetic optimizer.rl=1,2", "'optimizer.rl'", "'optimizer.lr'"),
    bad("train -m data=synthetic +optimizer.rl=1,2", "'optimizer.rl'", "'optimizer.lr'"),
    bad("train -m data=synthetic loss=glob(x*)", "glob(x*)", "choice(...)"),
    bad("train -m data=synthetic optimizer.lr=interval(0,1)", "interval(0,1)", "range(...)"),
    bad("train -m data=synthetic seed=range(0,1000000000)", "100001 runs", "100000 at most"),
    bad("train -m data=synthetic seed=range(0,1000) optimizer.lr=range(1,1000)", "999000 runs"),
    synthetic("-m trainer.steps=3 trainer.epochs=1,2", "trainer.steps=3", "trainer.epochs"),
    synthetic(
        "-m sweeper=optuna sweeper.metric=val/acuracy optimizer.lr=interval(0.1,1)",
        "val/acuracy",
        "val/accuracy",
    ),
    bad("data image_folder", "data.root=..."),
    bad("train -m launcher.workers=0", "launcher.workers=0", "-1"),
    bad("train -m launcher=ray launcher.gpus=-1", "launcher.gpus=-1"),
    bad("train -m launcher=ray launcher.workers=0", "launcher.workers=0", "1 or more"),
    bad("train -m launcher=ray trainer.device=cuda", "trainer.device=cuda", "launcher.gpus=1"),
    bad("train -m launcher=submitit_local launcher.minutes=0", "launcher.minutes=0"),
    bad("train -m launcher=submitit_local launcher.memory_gb=0", "launcher.memory_gb=0"),
    bad("train -m launcher=submitit_local launcher.cluster=pbs", "launcher.cluster=pbs"),
    bad("train -m sweeper=optuna optimizer.lr=0.1,1", "nothing is searched", "interval(0.001,1)"),
    bad("train -m sweeper=optuna optimizer.lr=interval(1,0.1)", "interval(1,0.1)"),
    bad("train -m sweeper=optuna optimizer.lr=tag(log,interval(0,1))", "interval(0,1)"),
    bad("train -m sweeper=optuna optimizer.lr=tag(ln,interval(1,2))", "tag", "log"),
    bad("train -m sweeper=optuna optimizer.lr=interval(-1,1)", "optimizer", "lr"),
    bad("train -m sweeper=optuna sweeper.trials=0 optimizer.lr=interval(1,2)", "sweeper.trials=0"),
    bad("train -m sweeper=optuna sweeper.direction=up optimizer.lr=interval(1,2)", "direction=up"),
    bad("train -m launcher=serial,joblib", "launcher=serial,joblib", "a single value"),
    # studies
    bad("study", "losslab list study"),
    bad("study why_squared_eror", "'why_squared_eror'", "did you mean 'why_squared_error'"),
    bad("study why_squared_error study.tune_seed=[0]", "'study.tune_seeds'"),
    bad("study why_squared_error study.tune_seeds=0", "tune_seeds=0"),
    bad("study why_squared_error study.tune_seeds=[0,0]", "[0, 0]", "each once"),
    bad("study why_squared_error study.tune_seeds=[-1]", "[-1]", "≥ 0"),
    bad("study why_squared_error study.confirm_seeds=[1.5]", "[1.5]", "a whole number"),
    bad("study why_squared_error +study.arms.mse.values=[0.1,0.1]", "arms.mse.values", "once"),
    bad("study width +study.conditions.w4.values=[1,1]", "conditions.w4.values=[1.0, 1.0]"),
    bad("study number_of_classes study.conditions.k2.values.mse=[1,1]", "k2.values.mse=[1.0, 1.0]"),
    bad("study why_squared_error study.values=[a]", "['a']", "a number"),
    bad("study why_squared_error study.select=null", "study.select=None"),
    bad("study why_squared_error study.parameter=optimizer", "optimizer", "single value"),
    bad("study why_squared_error study.claims=[{id:x}]", "study.claims.x.statement", "missing"),
    bad("study why_squared_error seed=1", "seed=1", "study"),
    bad("study why_squared_error loss=mse", "loss=mse", "study"),
    bad("study why_squared_error optimizer.lr=1", "optimizer.lr=1", "study"),
    bad("study why_squared_error study.claims.gap.metric=x", "no claim 'gap'", "naive-mse-softmax"),
    bad("study other_images +study.arms.mse.values=[0.1]", "arms.mse.values", "has no effect"),
    bad("study too_right study.values=[0.1]", "'study.values'", "study.arms.cross_entropy.values"),
    bad("study too_right +study.values=[0.1]", "study.values=[0.1] has no effect"),
    bad("study why_squared_error ~study.base.0", "~study.base.0", "the whole list"),
    bad("study why_squared_error ~study.claims.own-map", "~study.claims.7", "the whole list"),
    bad("study weight_prior study.runs.sigma.seeds=0", "seeds=0", "a list"),
    bad("study weight_prior study.runs.sigma.grid=0", "grid=0", "keys and values"),
    bad("study weight_prior study.runs.sigma.overrides=0", "overrides=0", "a list"),
    bad("study weight_prior ~study.runs.sigma.seeds", "study.runs.sigma", "seeds"),
    bad("study weight_prior study.measures.sigma._target_=nowhere.x", "nowhere.x"),
    bad("study weight_prior study.claims=[{id:x}]", "study.claims.x.statement", "missing"),
    bad("study why_squared_error study.confirm_seeds=[40]", "[40]", "fresh"),
    bad("study why_squared_error study.reference=mes", "study.reference=mes", "mse"),
    bad("study why_squared_error study.tune_seeds=[0] study.select=val/acuracy", "val/acuracy"),
    bad("study why_squared_error +study.arms.foo.label=x", "study.arms.foo"),
    bad(
        "study why_squared_error study.parameter=optimizer.rl study.tune_seeds=[0]",
        "'optimizer.rl'",
    ),
    bad("study why_squared_error data=minst", "'minst'", "'mnist'"),
    bad("study why_squared_error trainer.epochs=0 study.tune_seeds=[0]", "trainer.epochs=0"),
]


@pytest.mark.parametrize("case", BAD_INPUT, ids=str)
def test_bad_input_gets_one_line_and_code_2_before_anything_is_written(losslab, case):
    check(losslab, *case)
    assert list(losslab.folder.iterdir()) == []


@pytest.mark.parametrize("case", BAD_INPUT[::100], ids=str)
def test_the_traceback_is_there_for_those_who_ask(losslab, case, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    code, out, err = losslab.call(*case.command)
    assert (code, out) == (2, "")
    assert err.startswith("Traceback (most recent call last)")
    assert "ValueError" in err
    assert err.splitlines()[-1].startswith("losslab: ")
    assert list(losslab.folder.iterdir()) == []


def test_a_port_that_is_no_number_of_one_or_taken(losslab):
    (losslab.folder / "outputs").mkdir()
    for port in (-1, 65536):
        check(losslab, ("board", f"--port={port}"), (f"--port={port}", "65535"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        check(losslab, ("board", f"--port={port}"), (f"port {port}", "--port"))
