"""The names that a pickle or skops file may have imported when it is loaded, unless the files say more: the default policy.

One exact name after another, never a whole module: scikit-learn, NumPy, pandas and statsmodels have functions that read
files, unpickle, evaluate or compile (`numpy.load`, `pandas.read_pickle`, `statsmodels.iolib.smpickle.load_pickle`,
`numpy.testing.runstring`), and modules in them have imported `os`, `sys` and `subprocess`, of which a class such as `Popen`
looks like an estimator's. What stands here is

- a class whose construction, from any arguments, and whose state, from any values, only keep what they are given, or
- a function that rebuilds such an object, or that computes a number from numbers.

So whatever is called with whatever comes out of such calls, nothing else can run. Left out on purpose: `builtins.getattr`,
`type`, `map`, `operator.*` and `functools.partial` (each reaches or keeps something to call; `zoneinfo` and therefore named
time zones need the first: save indexes in UTC), frozen distributions of `scipy.stats` (their state is compiled), formulas
(`patsy`, `formulaic`: evaluated), joblib's arrays (pickles inside of a pickle), and `cloudpickle` and `dill`, whose functions
by value are any code.

The scikit-learn part is every estimator of 1.9 and what their fitted instances hold; a test compares it with the
installed version, and every name with the module that it claims to be defined in.
"""

from __future__ import annotations

_PYTHON = """
_codecs encode
builtins Ellipsis NotImplemented bool bytearray bytes complex dict float frozenset int list object range set slice str tuple
collections Counter OrderedDict defaultdict deque
copyreg _reconstructor
datetime date datetime time timedelta timezone
decimal Decimal
types SimpleNamespace
"""

_NUMPY = """
numpy abs absolute add arcsinh bool bool_ bytes_ cbrt complex128 complex64 cos datetime64 dtype exp expm1 float16 float32
numpy float64 int16 int32 int64 int8 intc log log10 log1p log2 longdouble longlong matrix maximum mean median minimum multiply
numpy nanmean nanmedian ndarray object_ ravel reciprocal record sign sin sinh sqrt square str_ tan tanh timedelta64 uint16
numpy uint32 uint64 uint8
numpy._core.multiarray _reconstruct scalar
numpy._core.numeric _frombuffer
numpy.core.multiarray _reconstruct scalar
numpy.core.numeric _frombuffer
numpy.ma MaskedArray
numpy.ma.core MaskedArray _mareconstruct
numpy.random._generator Generator
numpy.random._mt19937 MT19937
numpy.random._pcg64 PCG64 PCG64DXSM
numpy.random._philox Philox
numpy.random._pickle __bit_generator_ctor __generator_ctor __randomstate_ctor
numpy.random._sfc64 SFC64
numpy.random.bit_generator SeedSequence __pyx_unpickle_SeedSequence
numpy.random.mtrand RandomState
numpy.rec recarray
"""

_SCIPY = """
scipy.interpolate._bsplines BSpline
scipy.optimize._lbfgsb_py LbfgsInvHessProduct
scipy.optimize._optimize OptimizeResult
scipy.sparse._bsr bsr_array bsr_matrix
scipy.sparse._coo coo_array coo_matrix
scipy.sparse._csc csc_array csc_matrix
scipy.sparse._csr csr_array csr_matrix
scipy.sparse._dia dia_array dia_matrix
scipy.sparse._dok dok_array dok_matrix
scipy.sparse._lil lil_array lil_matrix
scipy.special expit
scipy.special._ufuncs expit
"""

_PANDAS = """
dateutil.relativedelta relativedelta
pandas BooleanDtype Categorical CategoricalDtype CategoricalIndex DataFrame DateOffset DatetimeIndex DatetimeTZDtype
pandas Float32Dtype Float64Dtype Index Int16Dtype Int32Dtype Int64Dtype Int8Dtype Interval IntervalDtype IntervalIndex
pandas MultiIndex NA NaT Period PeriodDtype PeriodIndex RangeIndex Series SparseDtype StringDtype Timedelta TimedeltaIndex
pandas Timestamp UInt16Dtype UInt32Dtype UInt64Dtype UInt8Dtype
pandas._libs.arrays __pyx_unpickle_NDArrayBacked
pandas._libs.internals BlockPlacement _unpickle_block
pandas._libs.tslibs.nattype _nat_unpickle
pandas._libs.tslibs.offsets BHalfYearBegin BHalfYearEnd BQuarterBegin BQuarterEnd BYearBegin BYearEnd BaseOffset BusinessDay
pandas._libs.tslibs.offsets BusinessHour BusinessMixin BusinessMonthBegin BusinessMonthEnd CustomBusinessDay
pandas._libs.tslibs.offsets CustomBusinessHour CustomBusinessMonthBegin CustomBusinessMonthEnd Day Easter FY5253 FY5253Mixin
pandas._libs.tslibs.offsets FY5253Quarter HalfYearBegin HalfYearEnd Hour LastWeekOfMonth Micro Milli Minute MonthBegin
pandas._libs.tslibs.offsets MonthEnd MonthOffset Nano QuarterBegin QuarterEnd Second SemiMonthBegin SemiMonthEnd
pandas._libs.tslibs.offsets SemiMonthOffset SingleConstructorOffset Tick Week WeekOfMonth WeekOfMonthMixin YearBegin YearEnd
pandas._libs.tslibs.offsets _CustomBusinessMonth _CustomBusinessMonthBegin _CustomBusinessMonthEnd _YearEnd
pandas._libs.tslibs.period Period
pandas._libs.tslibs.timedeltas Timedelta _timedelta_unpickle
pandas._libs.tslibs.timestamps Timestamp _unpickle_timestamp
pandas.arrays ArrowStringArray BooleanArray DatetimeArray FloatingArray IntegerArray PeriodArray TimedeltaArray
pandas.core.arrays.categorical Categorical
pandas.core.arrays.datetimes DatetimeArray
pandas.core.arrays.string_ StringDtype
pandas.core.arrays.string_arrow ArrowStringArray
pandas.core.dtypes.dtypes CategoricalDtype
pandas.core.frame DataFrame
pandas.core.indexes.base Index _new_Index
pandas.core.indexes.datetimes DatetimeIndex _new_DatetimeIndex
pandas.core.indexes.interval _new_IntervalIndex
pandas.core.indexes.multi MultiIndex
pandas.core.indexes.period PeriodIndex _new_PeriodIndex
pandas.core.indexes.range RangeIndex
pandas.core.indexes.timedeltas _new_TimedeltaIndex
pandas.core.internals.blocks new_block
pandas.core.internals.managers BlockManager SingleBlockManager
pandas.core.series Series
pyarrow.lib _restore_array py_buffer type_for_alias
"""

_SCIKIT_LEARN = """
sklearn._loss._loss CyAbsoluteError CyExponentialLoss CyHalfBinomialLoss CyHalfGammaLoss CyHalfMultinomialLoss
sklearn._loss._loss CyHalfPoissonLoss CyHalfSquaredError CyHalfTweedieLoss CyHalfTweedieLossIdentity CyHuberLoss
sklearn._loss._loss CyLossFunction CyPinballLoss __pyx_unpickle_CyHalfMultinomialLoss
sklearn._loss.link BaseLink HalfLogitLink IdentityLink Interval LogLink LogitLink MultinomialLogit
sklearn._loss.loss AbsoluteError ArrayAPILossMixin BaseLoss ExponentialLoss HalfBinomialLoss HalfBinomialLossArrayAPI
sklearn._loss.loss HalfGammaLoss HalfMultinomialLoss HalfMultinomialLossArrayAPI HalfPoissonLoss HalfPoissonLossArrayAPI
sklearn._loss.loss HalfSquaredError HalfTweedieLoss HalfTweedieLossIdentity HuberLoss PinballLoss
sklearn.calibration CalibratedClassifierCV _CalibratedClassifier _SigmoidCalibration _TemperatureScaling
sklearn.cluster._affinity_propagation AffinityPropagation
sklearn.cluster._agglomerative AgglomerativeClustering FeatureAgglomeration
sklearn.cluster._bicluster SpectralBiclustering SpectralCoclustering
sklearn.cluster._birch Birch _CFNode _CFSubcluster
sklearn.cluster._bisect_k_means BisectingKMeans _BisectingTree
sklearn.cluster._dbscan DBSCAN
sklearn.cluster._hdbscan.hdbscan HDBSCAN
sklearn.cluster._kmeans KMeans MiniBatchKMeans _kmeans_single_elkan _kmeans_single_lloyd
sklearn.cluster._mean_shift MeanShift
sklearn.cluster._optics OPTICS
sklearn.cluster._spectral SpectralClustering
sklearn.compose._column_transformer ColumnTransformer
sklearn.compose._target TransformedTargetRegressor
sklearn.covariance._elliptic_envelope EllipticEnvelope
sklearn.covariance._empirical_covariance EmpiricalCovariance
sklearn.covariance._graph_lasso GraphicalLasso GraphicalLassoCV
sklearn.covariance._robust_covariance MinCovDet
sklearn.covariance._shrunk_covariance LedoitWolf OAS ShrunkCovariance
sklearn.cross_decomposition._pls CCA PLSCanonical PLSRegression PLSSVD
sklearn.decomposition._dict_learning DictionaryLearning MiniBatchDictionaryLearning SparseCoder
sklearn.decomposition._factor_analysis FactorAnalysis
sklearn.decomposition._fastica FastICA
sklearn.decomposition._incremental_pca IncrementalPCA
sklearn.decomposition._kernel_pca KernelPCA
sklearn.decomposition._lda LatentDirichletAllocation
sklearn.decomposition._nmf MiniBatchNMF NMF
sklearn.decomposition._pca PCA
sklearn.decomposition._sparse_pca MiniBatchSparsePCA SparsePCA
sklearn.decomposition._truncated_svd TruncatedSVD
sklearn.discriminant_analysis LinearDiscriminantAnalysis QuadraticDiscriminantAnalysis
sklearn.dummy DummyClassifier DummyRegressor
sklearn.ensemble._bagging BaggingClassifier BaggingRegressor
sklearn.ensemble._forest ExtraTreesClassifier ExtraTreesRegressor RandomForestClassifier RandomForestRegressor
sklearn.ensemble._forest RandomTreesEmbedding
sklearn.ensemble._gb GradientBoostingClassifier GradientBoostingRegressor
sklearn.ensemble._hist_gradient_boosting.binning _BinMapper
sklearn.ensemble._hist_gradient_boosting.gradient_boosting HistGradientBoostingClassifier HistGradientBoostingRegressor
sklearn.ensemble._hist_gradient_boosting.predictor TreePredictor
sklearn.ensemble._iforest IsolationForest
sklearn.ensemble._stacking StackingClassifier StackingRegressor
sklearn.ensemble._voting VotingClassifier VotingRegressor
sklearn.ensemble._weight_boosting AdaBoostClassifier AdaBoostRegressor
sklearn.feature_extraction._dict_vectorizer DictVectorizer
sklearn.feature_extraction._hash FeatureHasher
sklearn.feature_extraction.image PatchExtractor
sklearn.feature_extraction.text CountVectorizer HashingVectorizer TfidfTransformer TfidfVectorizer
sklearn.feature_selection._from_model SelectFromModel
sklearn.feature_selection._mutual_info mutual_info_classif mutual_info_regression
sklearn.feature_selection._rfe RFE RFECV
sklearn.feature_selection._sequential SequentialFeatureSelector
sklearn.feature_selection._univariate_selection GenericUnivariateSelect SelectFdr SelectFpr SelectFwe SelectKBest
sklearn.feature_selection._univariate_selection SelectPercentile chi2 f_classif f_oneway f_regression r_regression
sklearn.feature_selection._variance_threshold VarianceThreshold
sklearn.frozen._frozen FrozenEstimator
sklearn.gaussian_process._gpc GaussianProcessClassifier _BinaryGaussianProcessClassifierLaplace
sklearn.gaussian_process._gpr GaussianProcessRegressor
sklearn.gaussian_process.kernels CompoundKernel ConstantKernel DotProduct ExpSineSquared Exponentiation Hyperparameter Kernel
sklearn.gaussian_process.kernels KernelOperator Matern PairwiseKernel Product RBF RationalQuadratic Sum WhiteKernel
sklearn.impute._base MissingIndicator SimpleImputer
sklearn.impute._knn KNNImputer
sklearn.isotonic IsotonicRegression
sklearn.kernel_approximation AdditiveChi2Sampler Nystroem PolynomialCountSketch RBFSampler SkewedChi2Sampler
sklearn.kernel_ridge KernelRidge
sklearn.linear_model._base LinearRegression
sklearn.linear_model._bayes ARDRegression BayesianRidge
sklearn.linear_model._coordinate_descent ElasticNet ElasticNetCV Lasso LassoCV MultiTaskElasticNet MultiTaskElasticNetCV
sklearn.linear_model._coordinate_descent MultiTaskLasso MultiTaskLassoCV
sklearn.linear_model._glm.glm GammaRegressor PoissonRegressor TweedieRegressor
sklearn.linear_model._huber HuberRegressor
sklearn.linear_model._least_angle Lars LarsCV LassoLars LassoLarsCV LassoLarsIC
sklearn.linear_model._logistic LogisticRegression LogisticRegressionCV
sklearn.linear_model._omp OrthogonalMatchingPursuit OrthogonalMatchingPursuitCV
sklearn.linear_model._passive_aggressive PassiveAggressiveClassifier PassiveAggressiveRegressor
sklearn.linear_model._perceptron Perceptron
sklearn.linear_model._quantile QuantileRegressor
sklearn.linear_model._ransac RANSACRegressor
sklearn.linear_model._ridge Ridge RidgeCV RidgeClassifier RidgeClassifierCV
sklearn.linear_model._sgd_fast Classification EpsilonInsensitive Hinge ModifiedHuber Regression SquaredEpsilonInsensitive
sklearn.linear_model._sgd_fast SquaredHinge
sklearn.linear_model._stochastic_gradient SGDClassifier SGDOneClassSVM SGDRegressor
sklearn.linear_model._theil_sen TheilSenRegressor
sklearn.manifold._classical_mds ClassicalMDS
sklearn.manifold._isomap Isomap
sklearn.manifold._locally_linear LocallyLinearEmbedding
sklearn.manifold._mds MDS
sklearn.manifold._spectral_embedding SpectralEmbedding
sklearn.manifold._t_sne TSNE
sklearn.metrics._classification balanced_accuracy_score
sklearn.metrics._dist_metrics BrayCurtisDistance32 BrayCurtisDistance64 CanberraDistance32 CanberraDistance64
sklearn.metrics._dist_metrics ChebyshevDistance32 ChebyshevDistance64 DiceDistance32 DiceDistance64 DistanceMetric
sklearn.metrics._dist_metrics DistanceMetric32 DistanceMetric64 EuclideanDistance32 EuclideanDistance64 HammingDistance32
sklearn.metrics._dist_metrics HammingDistance64 HaversineDistance32 HaversineDistance64 JaccardDistance32 JaccardDistance64
sklearn.metrics._dist_metrics KulsinskiDistance32 KulsinskiDistance64 MahalanobisDistance32 MahalanobisDistance64
sklearn.metrics._dist_metrics ManhattanDistance32 ManhattanDistance64 MatchingDistance32 MatchingDistance64
sklearn.metrics._dist_metrics MinkowskiDistance32 MinkowskiDistance64 RogersTanimotoDistance32 RogersTanimotoDistance64
sklearn.metrics._dist_metrics RussellRaoDistance32 RussellRaoDistance64 SEuclideanDistance32 SEuclideanDistance64
sklearn.metrics._dist_metrics SokalMichenerDistance32 SokalMichenerDistance64 SokalSneathDistance32 SokalSneathDistance64
sklearn.metrics._dist_metrics __pyx_unpickle_DistanceMetric newObj
sklearn.metrics._scorer _CurveScorer _PassthroughScorer _Scorer
sklearn.mixture._bayesian_mixture BayesianGaussianMixture
sklearn.mixture._gaussian_mixture GaussianMixture
sklearn.model_selection._classification_threshold FixedThresholdClassifier TunedThresholdClassifierCV
sklearn.model_selection._search GridSearchCV RandomizedSearchCV
sklearn.model_selection._search_successive_halving HalvingGridSearchCV HalvingRandomSearchCV
sklearn.model_selection._split BaseCrossValidator BaseShuffleSplit GroupKFold GroupShuffleSplit KFold LeaveOneGroupOut
sklearn.model_selection._split LeaveOneOut LeavePGroupsOut LeavePOut PredefinedSplit RepeatedKFold RepeatedStratifiedKFold
sklearn.model_selection._split ShuffleSplit StratifiedGroupKFold StratifiedKFold StratifiedShuffleSplit TimeSeriesSplit
sklearn.model_selection._split _BaseKFold _RepeatedSplits
sklearn.multiclass OneVsOneClassifier OneVsRestClassifier OutputCodeClassifier _ConstantPredictor
sklearn.multioutput ClassifierChain MultiOutputClassifier MultiOutputRegressor RegressorChain
sklearn.naive_bayes BernoulliNB CategoricalNB ComplementNB GaussianNB MultinomialNB
sklearn.neighbors._ball_tree BallTree BallTree32 BallTree64 BinaryTree32 BinaryTree64 NeighborsHeap32 NeighborsHeap64 NodeHeap
sklearn.neighbors._ball_tree newObj
sklearn.neighbors._classification KNeighborsClassifier RadiusNeighborsClassifier
sklearn.neighbors._graph KNeighborsTransformer RadiusNeighborsTransformer
sklearn.neighbors._kd_tree BinaryTree32 BinaryTree64 KDTree KDTree32 KDTree64 NeighborsHeap32 NeighborsHeap64 NodeHeap newObj
sklearn.neighbors._kde KernelDensity
sklearn.neighbors._lof LocalOutlierFactor
sklearn.neighbors._nca NeighborhoodComponentsAnalysis
sklearn.neighbors._nearest_centroid NearestCentroid
sklearn.neighbors._regression KNeighborsRegressor RadiusNeighborsRegressor
sklearn.neighbors._unsupervised NearestNeighbors
sklearn.neural_network._multilayer_perceptron MLPClassifier MLPRegressor
sklearn.neural_network._rbm BernoulliRBM
sklearn.neural_network._stochastic_optimizers AdamOptimizer BaseOptimizer SGDOptimizer
sklearn.pipeline FeatureUnion Pipeline
sklearn.preprocessing._data Binarizer KernelCenterer MaxAbsScaler MinMaxScaler Normalizer PowerTransformer QuantileTransformer
sklearn.preprocessing._data RobustScaler StandardScaler
sklearn.preprocessing._discretization KBinsDiscretizer
sklearn.preprocessing._encoders OneHotEncoder OrdinalEncoder
sklearn.preprocessing._function_transformer FunctionTransformer
sklearn.preprocessing._label LabelBinarizer LabelEncoder MultiLabelBinarizer
sklearn.preprocessing._polynomial PolynomialFeatures SplineTransformer
sklearn.preprocessing._target_encoder TargetEncoder
sklearn.random_projection GaussianRandomProjection SparseRandomProjection
sklearn.semi_supervised._label_propagation LabelPropagation LabelSpreading
sklearn.semi_supervised._self_training SelfTrainingClassifier
sklearn.svm._classes LinearSVC LinearSVR NuSVC NuSVR OneClassSVM SVC SVR
sklearn.tree._classes DecisionTreeClassifier DecisionTreeRegressor ExtraTreeClassifier ExtraTreeRegressor
sklearn.tree._tree Tree
sklearn.utils._bunch Bunch
sklearn.utils._metadata_requests MetadataRequest MethodMetadataRequest
"""

_STATSMODELS = """
statsmodels.base.data ModelData PandasData
statsmodels.base.model LikelihoodModelResults
statsmodels.discrete.discrete_model BinaryResultsWrapper Logit LogitResults MNLogit MultinomialResults
statsmodels.discrete.discrete_model MultinomialResultsWrapper NegativeBinomial NegativeBinomialResults
statsmodels.discrete.discrete_model NegativeBinomialResultsWrapper Poisson PoissonResults PoissonResultsWrapper Probit
statsmodels.discrete.discrete_model ProbitResults
statsmodels.genmod.families.family Binomial Family Gamma Gaussian InverseGaussian NegativeBinomial Poisson Tweedie
statsmodels.genmod.families.links CDFLink CLogLog Cauchy Identity InversePower InverseSquared Link Log LogC LogLog Logit
statsmodels.genmod.families.links NegativeBinomial Power Probit Sqrt
statsmodels.genmod.families.varfuncs Binomial NegativeBinomial Power VarianceFunction
statsmodels.genmod.generalized_linear_model GLM GLMResults GLMResultsWrapper
statsmodels.regression.linear_model GLS GLSAR OLS OLSResults RegressionResults RegressionResultsWrapper WLS
statsmodels.regression.quantile_regression QuantReg QuantRegResults
statsmodels.robust.norms HuberT
statsmodels.robust.robust_linear_model RLM RLMResults RLMResultsWrapper
statsmodels.tools.tools Bunch
statsmodels.tsa.ar_model AutoReg AutoRegResults AutoRegResultsWrapper
statsmodels.tsa.arima.model ARIMA ARIMAResults ARIMAResultsWrapper
statsmodels.tsa.arima.params SARIMAXParams
statsmodels.tsa.arima.specification SARIMAXSpecification
statsmodels.tsa.base.tsa_model TimeSeriesModel
statsmodels.tsa.deterministic DeterministicProcess TimeTrend
statsmodels.tsa.exponential_smoothing._ets_smooth _ets_smooth_add_add
statsmodels.tsa.exponential_smoothing.ets ETSModel ETSResults ETSResultsWrapper
statsmodels.tsa.forecasting.stl STLForecastResults
statsmodels.tsa.forecasting.theta ThetaModel ThetaModelResults
statsmodels.tsa.holtwinters.model ExponentialSmoothing Holt SimpleExpSmoothing
statsmodels.tsa.holtwinters.results HoltWintersResults HoltWintersResultsWrapper
statsmodels.tsa.seasonal._seasonal DecomposeResult
statsmodels.tsa.statespace._initialization cInitialization dInitialization sInitialization zInitialization
statsmodels.tsa.statespace._kalman_filter cKalmanFilter dKalmanFilter sKalmanFilter zKalmanFilter
statsmodels.tsa.statespace._kalman_smoother cKalmanSmoother dKalmanSmoother sKalmanSmoother zKalmanSmoother
statsmodels.tsa.statespace._representation cStatespace dStatespace sStatespace zStatespace
statsmodels.tsa.statespace._simulation_smoother cSimulationSmoother dSimulationSmoother sSimulationSmoother
statsmodels.tsa.statespace._simulation_smoother zSimulationSmoother
statsmodels.tsa.statespace.dynamic_factor DynamicFactor DynamicFactorResults DynamicFactorResultsWrapper
statsmodels.tsa.statespace.initialization Initialization
statsmodels.tsa.statespace.kalman_smoother SmootherResults
statsmodels.tsa.statespace.sarimax SARIMAX SARIMAXResults SARIMAXResultsWrapper
statsmodels.tsa.statespace.simulation_smoother SimulationSmoothResults SimulationSmoother
statsmodels.tsa.statespace.structural UnobservedComponents UnobservedComponentsResults UnobservedComponentsResultsWrapper
statsmodels.tsa.statespace.varmax VARMAX VARMAXResults VARMAXResultsWrapper
statsmodels.tsa.stl._stl STL
statsmodels.tsa.vector_ar.var_model VAR VARResults VARResultsWrapper
"""

_BOOSTERS = """
lightgbm.basic Booster
lightgbm.sklearn LGBMClassifier LGBMModel LGBMRanker LGBMRegressor
xgboost.core Booster
xgboost.sklearn XGBClassifier XGBModel XGBRFClassifier XGBRFRegressor XGBRanker XGBRegressor
"""

LOADERS = frozenset(
    f"loader:mlflow.{name}"
    for name in ("sklearn", "statsmodels", "xgboost", "lightgbm", "pyfunc.model", "pyfunc.loaders.code_model")
)
"""MLflow's own modules that load these formats. The last two load models of any code: that code has names of its own."""


def _names(text: str) -> frozenset[str]:
    """Every `module.name`, of lines of a module and names in it."""
    lines = (line.split() for line in text.splitlines() if line)
    return frozenset(f"{module}.{name}" for module, *names in lines for name in names)


NAMES = _names(_PYTHON + _NUMPY + _SCIPY + _PANDAS + _SCIKIT_LEARN + _STATSMODELS + _BOOSTERS)
ALLOWED = NAMES | LOADERS
